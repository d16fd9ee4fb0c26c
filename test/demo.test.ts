import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { holdfast, newFolder } from './harness.ts'

const DEMO = join(import.meta.dirname, '../scripts/demo.ts')

interface Played {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Plays the demo with a folder for what it writes, and tells whether anything is left there. */
async function play (args: readonly string[], temporary: string, stopAt?: string): Promise<Played> {
  const child = execFile(process.execPath, [DEMO, ...args], { env: { ...process.env, TMPDIR: temporary, TMP: temporary, TEMP: temporary } })
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (piece) => {
    const wasReached = stopAt !== undefined && stdout.includes(stopAt)
    stdout += String(piece)
    if (stopAt !== undefined && stdout.includes(stopAt) && !wasReached) child.kill('SIGTERM')
  })
  child.stderr?.on('data', (piece) => { stderr += String(piece) })
  const [status] = await once(child, 'close') as [number | null]
  return { status, stdout, stderr }
}

/** Node keeps compiled code where temporary files go. */
async function leftIn (temporary: string): Promise<string[]> {
  return (await readdir(temporary)).filter((name) => name !== 'node-compile-cache')
}

test('the demo plays to its end in plain lines, and leaves nothing behind', async (context) => {
  const temporary = await newFolder(context)
  const { status, stdout, stderr } = await play([], temporary)
  assert.equal(status, 0, stdout + stderr)
  const docs = join(import.meta.dirname, '../docs')
  const cid = (await holdfast(['add', '-rQ', '--only-hash', docs])).stdout.trim()
  assert.ok(stdout.includes(`\n     ${cid}\n`), stdout)
  assert.match(stdout, /412 to Cache-Control: only-if-cached\n +\d+ files, \d+ bytes: all the same/)
  assert.match(stdout, /made again elsewhere[^]*copies 2\/2[^]*attic .*does not count: unreachable/)
  assert.match(stdout, /All of it held\.\n$/)
  assert.ok(!stdout.includes('\u001b'))
  assert.deepEqual(await leftIn(temporary), [])
})

test('a demo that cannot be played, or is interrupted, says so by its status and cleans up', async (context) => {
  const temporary = await newFolder(context)
  const [absent, interrupted] = await Promise.all([
    play([join(temporary, 'nothing here')], temporary),
    play([], temporary, '✔ 1.')
  ])
  for (const { status, stdout } of [absent, interrupted]) {
    assert.equal(status, 1)
    assert.doesNotMatch(stdout, /All of it held/)
  }
  assert.match(absent.stderr, /^The demo failed: .*nothing here/)
  assert.match(interrupted.stderr, /^The demo failed: Interrupted/)
  assert.deepEqual(await leftIn(temporary), [])
})
