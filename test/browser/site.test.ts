import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { newFolder, startNode } from '../harness.ts'
import { newPage, openBrowser, SKIP } from './browser.ts'

/** Bytes of sound for each second: 44,100 samples of 16 bits on two channels. */
const SOUND_BYTES_PER_SECOND = 44_100 * 4

const SOUND_SECONDS = 300

const MISSING = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'

/** A site of several files and folders that load each other. */
async function makeSite (folder: string): Promise<void> {
  await mkdir(join(folder, 'styles'), { recursive: true })
  await mkdir(join(folder, 'about'))
  await writeFile(join(folder, 'index.html'), '<!doctype html><title>My site</title><link rel="stylesheet" href="styles/site.css"><h1>Welcome</h1><p id="said"></p><a href="about/">About</a><script type="module" src="./say.js"></script>')
  await writeFile(join(folder, 'styles', 'site.css'), 'h1 { color: rgb(1, 2, 3) }')
  await writeFile(join(folder, 'say.js'), "import { words } from './words.js'\ndocument.querySelector('#said').textContent = words")
  await writeFile(join(folder, 'words.js'), "export const words = 'from a module'")
  await writeFile(join(folder, 'about', 'index.html'), '<!doctype html><title>About</title><h1>About us</h1><a href="../">Back</a>')
}

/** A WAV file of silence, which browsers can play and seek in. */
function soundOf (seconds: number): Buffer {
  const byteLength = seconds * SOUND_BYTES_PER_SECOND
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + byteLength, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(2, 22)
  header.writeUInt32LE(44_100, 24)
  header.writeUInt32LE(SOUND_BYTES_PER_SECOND, 28)
  header.writeUInt16LE(4, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36)
  header.writeUInt32LE(byteLength, 40)
  return Buffer.concat([header, Buffer.alloc(byteLength)])
}

test('a folder that somebody added opens as the site that it is', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const folder = join(await newFolder(context), 'site')
  await makeSite(folder)
  const root = await node.ok(['add', '-rQ', folder])

  const { page, noises } = await newPage(await openBrowser(context))
  // As people write it, without the slash at the end.
  await page.goto(`${node.ready.gateway}/ipfs/${root}`)
  assert.equal(page.url(), `${node.ready.gateway}/ipfs/${root}/`)
  assert.equal(await page.title(), 'My site')
  assert.equal(await page.evaluate('getComputedStyle(document.querySelector("h1")).color'), 'rgb(1, 2, 3)')
  assert.equal(await page.locator('#said').textContent(), 'from a module')
  await page.getByRole('link', { name: 'About' }).click()
  await page.getByRole('heading', { name: 'About us' }).waitFor()
  await page.getByRole('link', { name: 'Back' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  assert.deepEqual(noises, [])
})

test('the home page says what this is, where content lies and which peer serves it', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const { page, noises } = await newPage(await openBrowser(context))
  await page.goto(node.ready.gateway)
  assert.match(await page.title(), /Holdfast/)
  assert.match(await page.locator('body').innerText(), new RegExp(`/ipfs/<cid>.*${node.ready.peerId}`, 's'))
  assert.deepEqual(noises, [])
})

test('what is not here is told to a person in a page: what is missing, and what to do', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const root = await node.ok(['add', '-wQ', '--stdin-name', 'here'], { stdin: 'here' })
  const { page } = await newPage(await openBrowser(context))
  const rows: ReadonlyArray<[path: string, status: number, says: RegExp, advises: RegExp]> = [
    [`/ipfs/${MISSING}`, 404, new RegExp(MISSING), /Import or pin/],
    [`/ipfs/${root}/<b>there`, 404, /"<b>there"/, /spelling/],
    ['/ipfs/hello', 400, /hello/, /./]
  ]
  for (const [path, expected, says, advises] of rows) {
    const response = await page.goto(node.ready.gateway + path)
    assert.equal(response?.status(), expected, path)
    assert.match(response?.headers()['content-type'] ?? '', /^text\/html/)
    assert.match(await page.locator('h1').innerText(), new RegExp(`^${expected} `))
    assert.match(await page.locator('.panel').innerText(), says)
    assert.match(await page.locator('main').innerText(), advises)
    assert.equal(await page.locator('b').count(), 0)
  }
})

test('a script of a page reads ranges of a large file, and a player jumps to its end without loading it', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const folder = join(await newFolder(context), 'site')
  await mkdir(folder)
  const sound = soundOf(SOUND_SECONDS)
  await writeFile(join(folder, 'sound.wav'), sound)
  await writeFile(join(folder, 'index.html'), '<!doctype html><title>Sound</title><audio src="sound.wav" preload="metadata" controls></audio>')
  const root = await node.ok(['add', '-rQ', folder])

  const { page } = await newPage(await openBrowser(context))
  await page.goto(`${node.ready.gateway}/ipfs/${root}/`)
  const last = await page.evaluate<{ status: number, range: string, bytes: number[] }>(`fetch('sound.wav', { headers: { range: 'bytes=-4' } }).then(async (response) => ({
    status: response.status, range: response.headers.get('content-range'), bytes: [...new Uint8Array(await response.arrayBuffer())]
  }))`)
  assert.deepEqual(last, { status: 206, range: `bytes ${sound.byteLength - 4}-${sound.byteLength - 1}/${sound.byteLength}`, bytes: [0, 0, 0, 0] })

  const starts: number[] = []
  page.on('response', (response) => { starts.push(Number(/^bytes (\d+)-/.exec(response.headers()['content-range'] ?? '')?.[1])) })
  const seeked = await page.evaluate<{ duration: number, at: number }>(`new Promise((resolve, reject) => {
    const audio = document.querySelector('audio')
    audio.onerror = () => { reject(new Error(audio.error.message)) }
    audio.onseeked = () => { resolve({ duration: audio.duration, at: audio.currentTime }) }
    const jump = () => { audio.currentTime = ${SOUND_SECONDS - 5} }
    if (audio.readyState > 0) jump()
    else audio.onloadedmetadata = jump
  })`)
  assert.deepEqual(seeked, { duration: SOUND_SECONDS, at: SOUND_SECONDS - 5 })
  assert.ok(starts.some((start) => start > sound.byteLength / 2), `ranges began at ${starts.join(', ')}`)

  const digest = await page.evaluate<string>(`fetch('sound.wav').then((response) => response.arrayBuffer()).then((bytes) => crypto.subtle.digest('SHA-256', bytes)).then((digest) => new Uint8Array(digest).toHex())`)
  assert.equal(digest, createHash('sha256').update(sound).digest('hex'))
})
