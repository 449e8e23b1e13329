/** White space as SQL takes it. */
const S = String.raw`(?:\s|/\*\*/)`
/** A name of a table or a column, and what may stand around it. */
const NAME = '[\\w.`]+'
const COMPARED = String.raw`(?:=|<>|!=|<|>|like\b)`
const QUOTE = `['"]`

/** Statements that nobody writes in prose: they need their second key word, and more where two are words of English. */
const statements = [
  String.raw`\bunion${S}+(?:(?:all|distinct)${S}+)?\(*select\b`,
  String.raw`\bunion\(+select\b`,
  String.raw`\bdrop${S}+(?:table|database|schema)${S}+\w`,
  String.raw`;${S}*(?:drop|truncate|alter|create|grant|revoke)${S}+(?:table|database|schema|user|role|view|index|function|procedure|trigger|login)\b`,
  String.raw`['")\d]${S}*;${S}*(?:select|insert|update|delete|exec|execute|declare|shutdown|merge|call)\b`,
  String.raw`\binsert${S}+into${S}+${NAME}${S}*(?:\(|values\b|select\b)`,
  String.raw`\bdelete${S}+from${S}+${NAME}${S}*(?:where\b|;|--|#)`,
  String.raw`\bupdate${S}+${NAME}${S}+set${S}+${NAME}${S}*=`,
  String.raw`\bexec(?:ute)?${S}+(?:\w*\.)*[xs]p_\w`,
  String.raw`\bxp_(?:cmdshell|dirtree|regread)\b`,
  String.raw`\binto${S}+(?:out|dump)file\b`,
  String.raw`\binformation_schema\.\w`,
]

/** Conditions that hold whatever the data: `or 2=2`, `' or 'a'='a`, `' or 1--`. */
const tautologies = [
  String.raw`\b(?:or|and|xor|having)${S}+\(*\d+${S}*${COMPARED}${S}*\(*\d`,
  String.raw`(?:\|\||&&)${S}*\d+${S}*=${S}*\d`,
  String.raw`${QUOTE}${S}*\)*${S}*(?:or|and|xor|\|\||&&)${S}*\(*(?:${QUOTE}\w*${QUOTE}?|\d+)${S}*${COMPARED}`,
  String.raw`${QUOTE}${S}*\)*${S}*(?:or|\|\|)${S}+(?:true|not|\d+)${S}*(?:--|#|;|$)`,
]

/** Functions that make the answer late, or speak through errors and files. A method such as `time.sleep(5)` is none. */
const functions = [
  String.raw`(?:^|[^.\w])(?:pg_)?sleep${S}*\(${S}*[\d.]`,
  String.raw`\bdbms_(?:lock|session)\.sleep\b`,
  String.raw`\bbenchmark${S}*\(${S}*\d+${S}*,`,
  String.raw`\bwaitfor${S}+(?:delay|time)${S}+n?['"@]`,
  String.raw`\b(?:extractvalue|updatexml|load_file)${S}*\(`,
]

/** A comment counts only where it cuts a text off behind its closing quote; an option such as `--retain` is none. */
const comments = [
  String.raw`(?:^|[\w)%])['"]${S}*\)*${S}*--(?:[\s+;'"-]|$)`,
  String.raw`(?:^|[\w)%])['"]\)*#(?:\s|$)`,
  String.raw`[\w)%]'\)*/\*`,
]

export const sqlPatterns: readonly string[] = [...statements, ...tautologies, ...functions, ...comments]
