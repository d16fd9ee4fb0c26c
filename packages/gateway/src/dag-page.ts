/**
 * The page that shows a dag-json or dag-cbor block to a person.
 */
import { type Block, codecName, decodeIpld, type Ipld } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { escapeHtml, PAGE_FOOT, pageHead } from './html.ts'

/** Values that are shown; the rest of a large block is for programs. */
export const MAX_SHOWN_VALUES = 2_000

/** Characters of one string, and bytes of one byte string, that are shown. */
const MAX_SHOWN_CHARACTERS = 4_096
const MAX_SHOWN_BYTES = 256

/** Prints the page of a block; one that is not of its codec is named and not shown. */
export function dagPage (block: Block): string {
  const codec = codecName(block.cid.code)
  return `${pageHead(block.cid.toString())}<h1>${escapeHtml(codec)} block</h1>
<p class="muted ipfs-hash" translate="no">${block.cid}</p>
<p>Download as <a href="?format=raw" rel="nofollow">raw block</a> or <a href="?format=${codec}" rel="nofollow">${codec}</a></p>
<div class="panel">${printBlock(block)}</div>
${PAGE_FOOT}`
}

function printBlock (block: Block): string {
  try {
    return printValue(decodeIpld(block), { left: MAX_SHOWN_VALUES })
  } catch {
    return `<p class="muted">The bytes of this block are not ${escapeHtml(codecName(block.cid.code))}, or nested too deeply to be shown.</p>`
  }
}

/** `decodeIpld` bounds the depth of values, so recursion is safe. */
function printValue (value: Ipld, budget: { left: number }): string {
  if (budget.left-- <= 0) return '<span class="muted">…</span>'
  const cid = CID.asCID(value)
  if (cid !== null) return `<a class="ipfs-hash" href="/ipfs/${cid}">${cid}</a>`
  if (value === null || typeof value !== 'object') return printScalar(value)
  if (value instanceof Uint8Array) return printBytes(value)
  const rows: string[] = []
  for (const [key, child] of Object.entries(value)) {
    rows.push(`<dt>${escapeHtml(clip(key))}</dt><dd>${printValue(child, budget)}</dd>`)
    if (budget.left <= 0) {
      rows.push('<dd class="muted">The rest is not shown.</dd>')
      break
    }
  }
  if (rows.length === 0) return `<code>${Array.isArray(value) ? '[]' : '{}'}</code>`
  return `<dl>${rows.join('\n')}</dl>`
}

function printScalar (value: null | boolean | number | bigint | string): string {
  return typeof value === 'string' ? `<pre>${escapeHtml(clip(value))}</pre>` : `<code>${String(value)}</code>`
}

function printBytes (bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, MAX_SHOWN_BYTES)).toString('hex')
  return `<pre>${shown}${bytes.byteLength > MAX_SHOWN_BYTES ? '…' : ''}</pre><span class="muted">${bytes.byteLength} bytes</span>`
}

function clip (text: string): string {
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}…` : text
}
