/** Non-ASCII spaces, which become U+0020 (RFC 3454 C.1.2, without U+200B, which B.1 removes). */
const SPACES = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g

/** Commonly mapped to nothing (RFC 3454 B.1). */
const NOTHING = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g

/** RFC 4013 §2.3: tables C.1.2, C.2.1, C.2.2 and C.3 to C.9 of RFC 3454 together. */
const PROHIBITED =
  /\u0340|\u0341|[\0-\x1f\x7f-\xa0\u06dd\u070f\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2063\u206a-\u206f\u2ff0-\u2ffb\u3000\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\uffff\u{1d173}-\u{1d17a}\u{1fffe}\u{1ffff}\u{2fffe}\u{2ffff}\u{3fffe}\u{3ffff}\u{4fffe}\u{4ffff}\u{5fffe}\u{5ffff}\u{6fffe}\u{6ffff}\u{7fffe}\u{7ffff}\u{8fffe}\u{8ffff}\u{9fffe}\u{9ffff}\u{afffe}\u{affff}\u{bfffe}\u{bffff}\u{cfffe}\u{cffff}\u{dfffe}\u{dffff}\u{e0001}\u{e0020}-\u{e007f}\u{efffe}-\u{10ffff}]/u

/** Characters that are written from right to left (RFC 3454 D.1). */
const RIGHT_TO_LEFT =
  '\\u05be\\u05c0\\u05c3\\u05d0-\\u05ea\\u05f0-\\u05f4\\u061b\\u061f\\u0621-\\u063a\\u0640-\\u064a\\u066d-\\u066f\\u0671-\\u06d5\\u06dd\\u06e5\\u06e6\\u06fa-\\u06fe\\u0700-\\u070d\\u0710\\u0712-\\u072c\\u0780-\\u07a5\\u07b1\\u200f\\ufb1d\\ufb1f-\\ufb28\\ufb2a-\\ufb36\\ufb38-\\ufb3c\\ufb3e\\ufb40\\ufb41\\ufb43\\ufb44\\ufb46-\\ufbb1\\ufbd3-\\ufd3d\\ufd50-\\ufd8f\\ufd92-\\ufdc7\\ufdf0-\\ufdfc\\ufe70-\\ufe74\\ufe76-\\ufefc'
const ANY_RIGHT_TO_LEFT = new RegExp(`[${RIGHT_TO_LEFT}]`, 'u')
const ENDS_RIGHT_TO_LEFT = new RegExp(`^[${RIGHT_TO_LEFT}](.*[${RIGHT_TO_LEFT}])?$`, 'su')
/**
 * What may stand between them: marks, digits, punctuation. Everything else counts as written from left to right: more than
 * table D.2 of RFC 3454, so that text in both directions is refused rather than let through.
 */
const NEUTRAL = '\\p{Mn}\\x20-\\x40\\x5b-\\x60\\x7b-\\x7e\\u060c\\u0660-\\u0669\\u06f0-\\u06f9\\u2010-\\u2027'
const ANY_LEFT_TO_RIGHT = new RegExp(`[^${RIGHT_TO_LEFT}${NEUTRAL}]|[\\u17b4\\u17b5\\u1885\\u1886]`, 'u')

/**
 * Prepares a username or password so that different spellings of one text are equal (RFC 4013): `undefined` where it holds
 * what is prohibited or writes in both directions (RFC 3454 §6), or nothing is left. NFKC is that of today's Unicode. Text
 * that is `stored` may hold no unassigned code points, a query may.
 */
export function saslPrep(text: string, use: 'query' | 'stored'): string | undefined {
  if (/^[\x20-\x7e]+$/.test(text)) return text
  const prepared = text.replace(NOTHING, '').replace(SPACES, ' ').normalize('NFKC')
  if (prepared === '' || PROHIBITED.test(prepared)) return undefined
  if (use === 'stored' && /\p{Cn}/u.test(prepared)) return undefined
  const isMixed = !ENDS_RIGHT_TO_LEFT.test(prepared) || ANY_LEFT_TO_RIGHT.test(prepared)
  return ANY_RIGHT_TO_LEFT.test(prepared) && isMixed ? undefined : prepared
}
