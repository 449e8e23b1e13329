/** Beginnings of the names of event handlers (HTML Living Standard, SVG, and what browsers added); `on` stands before. */
const EVENTS = `
  abort after animation auxclick before begin blur cancel canplay change click close contextmenu copy cuechange cut
  dblclick drag drop durationchange emptied end error focus formdata fullscreen gamepad gesture gotpointercapture
  hashchange input invalid key languagechange load lostpointercapture message mouse offline online page paste pause play
  pointer popstate progress ratechange readystatechange repeat reset resize scroll search securitypolicyviolation seek
  select show slotchange stalled storage submit suspend timeupdate toggle touch transition unhandledrejection unload
  volumechange waiting webkit wheel`
  .trim()
  .split(/\s+/)
  .join('|')

/** Browsers drop tabs and line ends inside a scheme. */
const scheme = (name: string) => `${name.split('').join(String.raw`\s*`)}\\s*:`

/** Inside a tag, behind what stands before an attribute. A `>` with a quote behind it may stand in quotes, and ends nothing. */
const IN_TAG = String.raw`<[a-z](?:[^>]|>[^<>"']*["'])*[\s/"'\x00]`

export const scriptPatterns: readonly string[] = [
  String.raw`</?script(?:[\s/>]|$)`,
  String.raw`${IN_TAG}on(?:${EVENTS})[a-z]*\s*=`,
  String.raw`${IN_TAG}srcdoc\s*=`,
  String.raw`<(?:iframe|embed|frameset|applet)(?:[\s/>]|$)`,
  String.raw`<(?:base\s+href|meta\s+http-equiv)\s*=`,
  String.raw`${scheme('javascript')}(?:[^\s"]|\s*[\w.$]+\s*[(=\x60\[])`,
  String.raw`${scheme('vbscript')}[^\s"]`,
  String.raw`\bdata:\s*(?:text/html|text/javascript|application/(?:javascript|xhtml\+xml))`,
]
