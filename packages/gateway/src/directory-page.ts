/**
 * The page of a directory without an index.html.
 *
 * The links and their order of attributes are those of Kubo, which the conformance suite compares byte by byte.
 * What changes between path, subdomain and DNSLink gateways is in `DirectoryView`; the page itself does not know.
 */
import type { DirectoryEntry } from '@holdfast/dag'
import { type ContentPath, encodeSegment, encodeStrictly } from './content-path.ts'
import { escapeHtml, formatBytes, PAGE_FOOT, pageHead } from './html.ts'

/** Where the links of a page lead. */
export interface DirectoryView {
  /** The content path as text, for the title. */
  readonly title: string
  readonly namespace: string
  /** Root first; each with the URL it leads to. */
  readonly breadcrumbs: ReadonlyArray<{ readonly name: string, readonly href: string }>
  /** URL of the directory, ending in a slash: entries and `..` are linked below it. */
  readonly base: string
  /** Whether there is a directory above within this root. */
  readonly hasParent: boolean
  /** Prefix of links to other roots: empty, or `//host`. */
  readonly origin: string
  /** CID of the directory. */
  readonly cid: string
}

/** One page of a long listing. */
export interface ListingPage {
  /** From 1. */
  readonly number: number
  readonly hasNext: boolean
}

/** Returns the view of a directory on the path gateway. */
export function pathGatewayView ({ namespace, root, segments }: ContentPath, cid: string): DirectoryView {
  const names = [root, ...segments]
  const hrefs = names.map((_, index) => `/${[namespace, ...names.slice(0, index + 1)].map(encodeSegment).join('/')}`)
  return {
    title: `/${[namespace, ...names].join('/')}/`,
    namespace,
    breadcrumbs: names.map((name, index) => ({ name, href: hrefs[index] ?? '' })),
    base: `${hrefs.at(-1) ?? ''}/`,
    hasParent: segments.length > 0,
    origin: '',
    cid
  }
}

/** Prints the part of the page before its entries. */
export function listingHead (view: DirectoryView): string {
  const { title, namespace, breadcrumbs, base, hasParent, cid } = view
  const crumbs = breadcrumbs.map(({ name, href }) => `/<a href="${escapeHtml(href)}">${escapeHtml(name)}</a>`).join('')
  const parent = hasParent ? `<tr><td><a href="${escapeHtml(base)}..">..</a></td><td class="short"></td><td class="bytes"></td></tr>\n` : ''
  return `${pageHead(title)}<h1>Index of /${namespace}${crumbs}</h1>
${hasParent ? `<p class="muted ipfs-hash" translate="no">${escapeHtml(cid)}</p>\n` : ''}<p>Download all as <a href="?format=tar" rel="nofollow">TAR</a> or <a href="?format=car" rel="nofollow">CAR</a></p>
<table>
<thead><tr><th>Name</th><th class="short">CID</th><th class="bytes" title="Bytes of all blocks below, as the directory states them">Size</th></tr></thead>
<tbody>
${parent}`
}

/** Prints one entry. Nothing is read for it: whether it is a file or a directory shows when it is opened. */
export function listingRow ({ base, origin }: DirectoryView, { name, cid, tsize }: DirectoryEntry): string {
  // Kubo's template encodes the name twice, and the suite wants it so.
  const filename = encodeStrictly(encodeSegment(name))
  const hash = cid.toString()
  return `<tr><td><bdi><a href="${escapeHtml(base + encodeSegment(name))}">${escapeHtml(name)}</a></bdi></td>` +
    `<td class="short"><a class="ipfs-hash" translate="no" href="${escapeHtml(`${origin}/ipfs/${hash}?filename=${filename}`)}">${shorten(hash)}</a></td>` +
    `<td class="bytes">${tsize === undefined ? '' : formatBytes(tsize)}</td></tr>\n`
}

/** Prints the part of the page after its entries. */
export function listingFoot ({ number, hasNext }: ListingPage): string {
  const links = [
    ...(number > 1 ? [`<a href="?page=${number - 1}" rel="prev">Previous page</a>`] : []),
    ...(number > 1 || hasNext ? [`<span class="muted">Page ${number}</span>`] : []),
    ...(hasNext ? [`<a href="?page=${number + 1}" rel="next">Next page</a>`] : [])
  ]
  return `</tbody>\n</table>\n${links.length === 0 ? '' : `<p>${links.join(' ')}</p>\n`}${PAGE_FOOT}`
}

function shorten (hash: string): string {
  return hash.length <= 12 ? hash : `${hash.slice(0, 4)}…${hash.slice(-4)}`
}
