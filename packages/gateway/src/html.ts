/**
 * What all generated pages share: escaping, frame and style.
 *
 * Pages carry no script and load nothing. Every text that comes from content or request passes `escapeHtml`.
 */

/** Makes text safe inside elements and quoted attributes. */
export function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Prints everything of a page before its content. */
export function pageHead (title: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
`
}

/** Everything of a page after its content. */
export const PAGE_FOOT = `</main>
</body>
</html>
`

const STYLE = `
:root { color-scheme: light dark; --text: #1b2326; --muted: #5b686d; --line: #d9e0e2; --page: #ffffff; --panel: #f4f7f7; --link: #00606b }
@media (prefers-color-scheme: dark) { :root { --text: #e4eaec; --muted: #9aa8ad; --line: #313c40; --page: #14191b; --panel: #1c2326; --link: #6fc7d1 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.15rem; margin: 0 0 .5rem; overflow-wrap: anywhere }
a { color: var(--link); text-decoration: none }
p a, a:hover, a:focus-visible { text-decoration: underline; text-underline-offset: .15em }
p { margin: .5rem 0; overflow-wrap: anywhere }
code, pre, .ipfs-hash { font: .875rem/1.5 ui-monospace, monospace }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
.muted { color: var(--muted) }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: 1rem 0; overflow-wrap: anywhere }
table { width: 100%; border-collapse: collapse; margin: 1rem 0 }
th { text-align: left; font-weight: 600; color: var(--muted) }
th, td { border-bottom: 1px solid var(--line); padding: .45rem .5rem .45rem 0; vertical-align: baseline }
tbody tr:hover { background: var(--panel) }
td:first-child { width: 100%; padding-right: 1rem; overflow-wrap: anywhere }
.short { white-space: nowrap; padding-right: 1.5rem }
.bytes { text-align: right; white-space: nowrap; padding-right: 0; font-variant-numeric: tabular-nums }
dl { margin: 0; padding-left: 1rem; border-left: 1px solid var(--line) }
dt { font: .875rem/1.5 ui-monospace, monospace; color: var(--muted); overflow-wrap: anywhere }
dd { margin: 0 0 .35rem; overflow-wrap: anywhere }
@media (max-width: 34rem) { .short { display: none } }
`

/** Prints a number of bytes for people: `1.4 MiB`. */
export function formatBytes (byteLength: number): string {
  const exponent = byteLength < 1024 ? 0 : Math.min(Math.floor(Math.log2(byteLength) / 10), UNITS.length - 1)
  const value = byteLength / 1024 ** exponent
  return `${exponent === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${UNITS[exponent]}`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
