const words = (text: string) => text.trim().split(/\s+/).join('|')

/** Commands that tell an attacker something, or hand him a shell, without an argument. */
const BARE = words(`
  id ls ps pwd env dir sh bash zsh ksh csh tcsh ash cmd
  whoami uname ifconfig ipconfig tasklist systeminfo printenv netstat`)

/** Commands that are no words of prose, so that any argument will do. */
const UNMISTAKABLE = words(`
  whoami uname ifconfig ipconfig tasklist systeminfo printenv netstat
  rmdir chmod chown chgrp mkfifo mknod useradd usermod userdel adduser iptables crontab systemctl killall pkill wget
  xargs nohup insmod modprobe umount busybox ncat netcat sudo dpkg apt-get gawk egrep tcpdump nslookup xxd
  certutil bitsadmin wmic rundll32 regsvr32 mshta cscript wscript schtasks taskkill powershell pwsh`)

/** Commands that are also names, units or words of English: they need an option, or an argument that is no prose. */
const AMBIGUOUS = words(String.raw`
  id ls ps pwd env dir sh bash zsh ksh csh tcsh ash cmd
  cat cp mv ln dd rm python[\d.]* perl php ruby node lua curl telnet ssh scp sftp ftp tftp nc socat nmap base64 awk sed
  grep find head tail more less touch mount kill ping host dig tee su openssl passwd reboot shutdown halt poweroff init
  del copy tar git docker vi vim nano sort cut tr`)

/** What a shell takes as the end of the command before. */
const BEFORE = '(?:[;|&`\\n\\r]|\\$\\()\\s*'
const PATH = String.raw`(?:[\w.:~-]*[/\\])*`
const END = '\\s*(?:[;|&`)<>"\'\\x00]|$)'
const ANY_ARGUMENT = String.raw`\s+[^\s;|&]`
const OPTION = '--?[a-z]'
const TECHNICAL = String.raw`[/~*$\\"'<]|\.\.?/|[\w-]*(?:/|\.[a-z]|\\|\*|\$|@)|\d+\.\d+\.\d`

export const commandPatterns: readonly string[] = [
  String.raw`${BEFORE}${PATH}(?:${BARE})(?:\.exe)?${END}`,
  String.raw`${BEFORE}${PATH}(?:${UNMISTAKABLE})(?:\.exe)?${ANY_ARGUMENT}`,
  String.raw`${BEFORE}${PATH}(?:${AMBIGUOUS})(?:\.exe)?\s+(?:${OPTION}|${TECHNICAL})`,
  String.raw`${BEFORE}(?:sleep\s+\d|kill\s+-?\d|nc\s+[\w.:-]+\s+\d)`,
  String.raw`${BEFORE}/(?:[\w.-]+/)*s?bin/\w`,
  String.raw`\$\{IFS\b|\$IFS\b`,
  '/dev/(?:tcp|udp)/',
]
