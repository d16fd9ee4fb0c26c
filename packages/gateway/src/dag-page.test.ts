import { Block, CODECS } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dagPage, MAX_SHOWN_VALUES } from './dag-page.ts'

async function pageOf (json: unknown): Promise<string> {
  return dagPage(await Block.of(Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)), { codec: CODECS.dagJson }))
}

test('values of every kind are shown, links as links', async () => {
  const cid = 'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'
  const page = await pageOf({ text: 'a', number: 1.5, yes: true, nothing: null, list: [1], empty: [], none: {}, bytes: { '/': { bytes: 'qg' } }, link: { '/': cid } })
  for (const fragment of ['<pre>a</pre>', '<code>1.5</code>', '<code>true</code>', '<code>null</code>', '<dt>0</dt><dd><code>1</code></dd>', '<code>[]</code>', '<code>{}</code>', '<pre>aa</pre>', `<a class="ipfs-hash" href="/ipfs/${cid}">${cid}</a>`]) {
    assert.ok(page.includes(fragment), fragment)
  }
})

test('keys and values cannot break out of the page', async () => {
  const page = await pageOf({ '<script>': '</pre><script>alert(1)</script>' })
  assert.doesNotMatch(page, /<script/)
})

test('a block that is not of its codec, or too deep, is named and not shown', async () => {
  for (const json of ['{', '['.repeat(500) + ']'.repeat(500)]) assert.match(await pageOf(json), /are not dag-json, or nested too deeply/)
})

test('of a large block only a part is shown', async () => {
  const page = await pageOf(Array.from({ length: 50_000 }, (_, index) => index))
  assert.ok(page.length < 200_000)
  assert.equal(page.match(/<dt>/g)?.length, MAX_SHOWN_VALUES - 1)
  assert.match(page, /The rest is not shown/)
  assert.ok((await pageOf({ text: 'x'.repeat(1_000_000) })).length < 20_000)
})
