/**
 * What a file is, from its first bytes: for files that have no name or one that says nothing.
 *
 * Text is told from binary first, because many binary formats have a mark of two letters ("BM", "MZ") that
 * ordinary text begins with as well. Only binary content is shown to the table of `file-type`.
 *
 * @see https://mimesniff.spec.whatwg.org/ §7.1 (the HTML marks and binary bytes), §5
 */

/** Bytes that are looked at: what `file-type` wants, and one disk page. */
export const SNIFF_BYTES = 4_100

const PLAIN = 'text/plain; charset=utf-8'
const OPAQUE = 'application/octet-stream'

/**
 * Returns the media type of content that begins with `head`.
 *
 * @param complete Whether `head` is all of the content.
 */
export async function sniffContentType (head: Uint8Array, complete: boolean): Promise<string> {
  const text = decodeText(head, complete)
  if (text !== undefined) return sniffText(text, complete)
  const { fileTypeFromBuffer } = await import('file-type')
  try {
    return (await fileTypeFromBuffer(head))?.mime ?? OPAQUE
  } catch {
    return OPAQUE // A head that is cut short in the middle of a structure.
  }
}

/** Returns `undefined` for bytes that are not UTF-8 text. */
function decodeText (head: Uint8Array, complete: boolean): string | undefined {
  if (head.some((byte) => byte < 0x20 && BINARY_CONTROLS.has(byte))) return undefined
  try {
    // A stream decoder forgives a character that is cut in two at the end.
    return new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: !complete })
  } catch {
    return undefined
  }
}

/** The control characters that text does not hold: all but tab, line feed, form feed, return and escape. */
const BINARY_CONTROLS: ReadonlySet<number> = new Set(Array.from({ length: 0x20 }, (_, byte) => byte).filter((byte) => ![0x09, 0x0a, 0x0c, 0x0d, 0x1b].includes(byte)))

function sniffText (text: string, complete: boolean): string {
  for (const [mark, type] of TEXT_MARKS) if (mark.test(text)) return type
  return isJson(text, complete) ? 'application/json' : PLAIN
}

const TEXT_MARKS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^\s*(?:<!doctype html|<(?:html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)(?=[ >\t\r\n])|<!--)/i, 'text/html'],
  [/^\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--[^>]*-->\s*)*(?:<!doctype svg[^>]*>\s*)?<svg(?=[\s>])/i, 'image/svg+xml'],
  [/^\s*<\?xml\s/, 'text/xml; charset=utf-8'],
  [/^%PDF-/, 'application/pdf'],
  [/^%!PS-Adobe-/, 'application/postscript'],
  [/^\{\\rtf/, 'application/rtf']
]

const JSON_TOKEN = /\s*(?:([[{])|([\]}])|[,:]|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y

/** Longest token that may be cut off at the end of the head, in characters: a string of this length without its end. */
const MAX_CUT_TOKEN = SNIFF_BYTES

/** Reports whether the text is a JSON object or array, or the beginning of one. */
function isJson (text: string, complete: boolean): boolean {
  if (!/^\s*[[{]/.test(text)) return false
  if (complete) return parsesAsJson(text)
  let depth = 0
  JSON_TOKEN.lastIndex = 0
  let at = 0
  for (let token = JSON_TOKEN.exec(text); token !== null; token = JSON_TOKEN.exec(text)) {
    at = JSON_TOKEN.lastIndex
    if (token[1] !== undefined) depth++
    if (token[2] !== undefined) depth--
    if (depth === 0) return text.slice(at).trim() === ''
  }
  const rest = text.slice(at).trimStart()
  return rest.length <= MAX_CUT_TOKEN && /^(?:$|"|[-\d.eE+]+$|[a-z]{1,4}$)/.test(rest)
}

function parsesAsJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
