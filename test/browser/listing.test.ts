import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Locator, Page } from 'playwright-core'
import { newFolder, startNode } from '../harness.ts'
import { newPage, openBrowser, SKIP } from './browser.ts'

/** Names that mean something to HTML, URLs, paths or people, and should mean nothing to a listing. */
const HOSTILE_NAMES = [
  '<img src=x onerror="window.ran = true">', '<svg onload=window.ran=true>', '"><img src=x onerror=window.ran=true>', "' onmouseover='window.ran=true",
  '<script>window.ran = true<', '&lt;b&gt; &amp; &quot;', 'javascript:window.ran=true', '<!--', ']]>', '{{7*7}} ${7*7}',
  'with "double" and \'single\' quotes', 'a b', ' leading', 'trailing ', 'two  spaces', 'tab\tline\nfeed',
  '#', 'a#b', '?', 'a?b=c&d', '%', '100%', '%41', '%2F', '%00', '..%2f..', '+', 'a+b', 'a;b', 'a:b', '@', '~', '...', '\\', 'a\\..\\b', '*', '|',
  'snow ☃', 'ünï', 'e\u0301', '日本語', '😀', 'مرحبا', '\u202Eevil\u202C', 'zero\u200Bwidth', 'x'.repeat(200)
] as const

const HOSTILE_FOLDER = '<b>#?% "folder"'

test('names of any kind are shown as text, do not run, and each opens its own file', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const folder = join(await newFolder(context), 'folder')
  await mkdir(folder)
  for (const [index, name] of HOSTILE_NAMES.entries()) await writeFile(join(folder, name), contentOf(index))
  const root = await node.ok(['add', '-rHQ', folder])

  const { page, noises } = await newPage(await openBrowser(context))
  const listing = `${node.ready.gateway}/ipfs/${root}/`
  await page.goto(listing)
  const shown = await page.locator('td:first-child').evaluateAll((cells) => cells.map(({ textContent }) => textContent ?? ''))
  assert.deepEqual(shown.toSorted(), HOSTILE_NAMES.toSorted())
  assert.equal(await page.locator('img, svg, b, script').count(), 0)

  const cidLinks = await page.evaluate<string[]>('[...document.querySelectorAll("a.ipfs-hash")].map(({ href }) => href)')
  for (const [row, name] of shown.entries()) {
    const expected = contentOf(HOSTILE_NAMES.findIndex((hostile) => hostile === name))
    assert.equal(await contentBehind(page, page.locator(`tbody tr:nth-child(${row + 1}) td:first-child a`)), expected, name)
    await page.goBack()
    assert.equal(await (await fetch(cidLinks[row] ?? '')).text(), expected, `the CID of ${name}`)
  }
  assert.equal(await page.evaluate('window.ran'), undefined)
  assert.deepEqual(noises, [])
})

test('folders of any name can be entered and left by links', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const folder = join(await newFolder(context), 'folder')
  await mkdir(join(folder, HOSTILE_FOLDER, 'inner ☃'), { recursive: true })
  await writeFile(join(folder, HOSTILE_FOLDER, 'inner ☃', 'file'), 'found')
  const root = await node.ok(['add', '-rQ', folder])

  const { page, noises } = await newPage(await openBrowser(context))
  await page.goto(`${node.ready.gateway}/ipfs/${root}/`)
  await page.getByRole('link', { name: HOSTILE_FOLDER, exact: true }).click()
  await page.getByRole('link', { name: 'inner ☃', exact: true }).click()
  await headed(page, `Index of /ipfs/${root}/${HOSTILE_FOLDER}/inner ☃`)
  assert.equal(await contentBehind(page, page.getByRole('link', { name: 'file', exact: true })), 'found')

  await page.goBack()
  await page.getByRole('link', { name: '..', exact: true }).click()
  await headed(page, `Index of /ipfs/${root}/${HOSTILE_FOLDER}`)
  await page.locator('h1').getByRole('link', { name: root }).click()
  await headed(page, `Index of /ipfs/${root}`)
  assert.deepEqual(noises, [])
})

test('a folder of thousands of entries is turned over page by page, and none is missing', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const folder = join(await newFolder(context), 'folder')
  await mkdir(folder)
  const names = Array.from({ length: 2500 }, (_, index) => `file ${index}`)
  await Promise.all(names.map(async (name) => { await writeFile(join(folder, name), '') }))
  const root = await node.ok(['add', '-rQ', folder])

  const { page } = await newPage(await openBrowser(context))
  const listing = `${node.ready.gateway}/ipfs/${root}/`
  await page.goto(listing)
  const shown = await page.locator('td:first-child').allTextContents()
  const next = page.getByRole('link', { name: 'Next page' })
  let number = 1
  while (await next.count() > 0) {
    await next.click()
    await page.waitForURL(`${listing}?page=${++number}`)
    shown.push(...await page.locator('td:first-child').allTextContents())
  }
  assert.ok(number > 1, 'one page holds them all')
  assert.deepEqual(shown.toSorted(), names.toSorted())
  await page.getByRole('link', { name: 'Previous page' }).click()
  await page.waitForURL(`${listing}?page=${number - 1}`)
})

/** Content that says which file it is of. */
function contentOf (index: number): string {
  return `the content of file ${index}`
}

/** Waits for a page with this heading. */
async function headed (page: Page, name: string): Promise<void> {
  await page.getByRole('heading', { name, exact: true }).waitFor()
}

/** Follows a link as a person does, and returns what the browser was sent. */
async function contentBehind (page: Page, link: Locator): Promise<string> {
  const answered = page.waitForResponse((response) => response.request().isNavigationRequest())
  await link.click()
  const response = await answered
  await page.waitForLoadState()
  return response.status() === 200 ? await response.text() : `status ${response.status()} for ${response.url()}`
}
