import { Block, CODECS } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { newFolder, startNode, type TestNode } from '../harness.ts'
import { newPage, openBrowser, PHONE, SKIP } from './browser.ts'

/** Least contrast of text that most people can read, WCAG 2.2 level AA. */
const LEAST_CONTRAST = 4.5

const MISSING = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'

const lowestContrast = await readFile(join(import.meta.dirname, 'lowest-contrast.js'), 'utf8')

interface Contrast { readonly ratio: number, readonly text: string, readonly pageLuminance: number }

/** Adds what every kind of generated page can be seen of, and returns the address of each. */
async function everyPage (context: TestContext, node: TestNode): Promise<Readonly<Record<string, string>>> {
  const folder = join(await newFolder(context), 'folder')
  const deep = join(folder, 'a folder whose name is rather long', 'w'.repeat(120), 'inner')
  await mkdir(deep, { recursive: true })
  for (const name of ['short.txt', 'x'.repeat(200), `${'words '.repeat(30)}.txt`]) await writeFile(join(folder, name), name)
  await writeFile(join(deep, 'file'), 'x'.repeat(100_000))
  const root = await node.ok(['add', '-rQ', folder])
  const value = { text: 'unbroken'.repeat(50), ['k'.repeat(100)]: [1, null, { '/': MISSING }], bytes: { '/': { bytes: 'AAAA'.repeat(50) } } }
  const block = await Block.of(Buffer.from(JSON.stringify(value)), { codec: CODECS.dagJson })
  await node.ok(['dag', 'import', '--no-pin-roots', '-'], { stdin: carOf(block) })
  return {
    'the home page': '/',
    'a listing': `/ipfs/${root}/`,
    'a deep listing': `/ipfs/${root}/a%20folder%20whose%20name%20is%20rather%20long/${'w'.repeat(120)}/inner/`,
    'a block of dag-json': `/ipfs/${block.cid}/`,
    'an error about a missing block': `/ipfs/${MISSING}`,
    'an error about a missing name': `/ipfs/${root}/${'n'.repeat(150)}`,
    'an error about a bad CID': `/ipfs/${'not-a-cid'.repeat(20)}`
  }
}

/** A CARv1 of one block below 16 KiB; its header is dag-cbor `{ roots: [cid], version: 1 }`. */
function carOf ({ cid, bytes }: Block): Buffer {
  const header = Buffer.concat([Buffer.from('a265726f6f747381d82a58', 'hex'), Buffer.of(cid.bytes.byteLength + 1, 0), cid.bytes, Buffer.from('6776657273696f6e01', 'hex')])
  const length = cid.bytes.byteLength + bytes.byteLength
  return Buffer.concat([Buffer.of(header.byteLength), header, Buffer.of((length % 128) | 128, length >> 7), cid.bytes, bytes])
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`every generated page is readable where people prefer ${colorScheme}`, { skip: SKIP }, async (context) => {
    const node = await startNode(context)
    const { page } = await newPage(await openBrowser(context), { colorScheme })
    for (const [name, path] of Object.entries(await everyPage(context, node))) {
      await page.goto(node.ready.gateway + path)
      const { ratio, text, pageLuminance } = await page.evaluate<Contrast>(lowestContrast)
      assert.ok(colorScheme === 'dark' ? pageLuminance < 0.1 : pageLuminance > 0.9, `${name} is not ${colorScheme}`)
      assert.ok(ratio >= LEAST_CONTRAST, `${name}: ${JSON.stringify(text)} has contrast ${ratio.toFixed(2)}`)
    }
  })
}

test('every generated page fits the width of a phone, without being zoomed', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const { page } = await newPage(await openBrowser(context), { ...PHONE, isMobile: true })
  for (const [name, path] of Object.entries(await everyPage(context, node))) {
    await page.goto(node.ready.gateway + path)
    const widths = await page.evaluate<number[]>('[document.documentElement.scrollWidth, document.documentElement.clientWidth, innerWidth]')
    assert.deepEqual(widths, Array.from({ length: 3 }, () => PHONE.viewport.width), `scroll, client and window width of ${name}`)
    assert.equal(await page.evaluate('getComputedStyle(document.body).fontSize'), '16px', name)
  }
})

test('generated pages load nothing, run nothing and complain about nothing', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const { page, noises } = await newPage(await openBrowser(context))
  const requested: string[] = []
  page.on('request', (request) => { requested.push(request.url()) })
  const addresses = Object.values(await everyPage(context, node)).map((path) => node.ready.gateway + path)
  for (const address of addresses) {
    await page.goto(address)
    assert.notEqual(await page.title(), '')
    assert.equal(await page.evaluate('document.scripts.length'), 0)
  }
  assert.deepEqual(requested.filter((url) => !url.startsWith('data:')), addresses)
  // The console names every answer that is an error; that is what these pages are.
  assert.deepEqual(noises.filter((noise) => !/the server responded with a status of 40[04]/.test(noise)), [])
})
