import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { FetchLine, noProgress, terminalProgress } from './progress.ts'

const MIB = 1024 * 1024

test('a line about a fetch tells blocks, bytes, the rate of the last seconds and peers', () => {
  const line = new FetchLine(0)
  line.update({ blockCount: 220, byteLength: 55 * MIB, peerCount: 2 }, 1000)
  line.update({ blockCount: 412, byteLength: 103 * MIB, peerCount: 3 }, 2000)
  assert.equal(line.words({}, 2000), 'fetching  412 blocks  103 MiB  51.5 MiB/s  3 peers')
  assert.equal(line.words({ byteLength: 50, totalByteLength: 200 }, 2000), 'fetching  412 blocks  103 MiB  51.5 MiB/s  3 peers  25 % read')

  line.update({ blockCount: 413, byteLength: 104 * MIB, peerCount: 1 }, 6000)
  assert.equal(line.words({}, 6000), 'fetching  413 blocks  104 MiB  256 KiB/s  1 peer', 'what came four seconds ago says nothing about the rate')
})

test('a line about a fetch begins anew with the next path, and goes when nothing comes any more', () => {
  const line = new FetchLine(0)
  assert.equal(line.words({}, 10), undefined)
  line.update({ blockCount: 100, byteLength: 100 * MIB, peerCount: 1 }, 1000)
  line.update({ blockCount: 1, byteLength: MIB, peerCount: 1 }, 1500)
  assert.equal(line.words({}, 2000), 'fetching  1 block  1.0 MiB  2.0 MiB/s  1 peer')
  assert.equal(line.words({}, 4000), undefined)
})

test('a terminal shows the fetch while it lasts, and is left without a trace', async () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 100, rows: 24 })
  let shown = ''
  terminal.setEncoding('utf8').on('data', (piece: string) => { shown += piece })
  {
    using line = terminalProgress('Reading', terminal as unknown as NodeJS.WriteStream)
    line.update({ byteLength: 0, totalByteLength: 10 * MIB })
    const deadline = performance.now() + 10_000
    for (let blockCount = 1; !shown.includes('fetching'); blockCount++) {
      assert.ok(performance.now() < deadline, `shown: ${JSON.stringify(shown)}`)
      line.update({ phase: 'fetching', blockCount, byteLength: blockCount * MIB, peerCount: 3 })
      await delay(20)
    }
  }
  assert.match(stripVTControlCharacters(shown), /fetching {2}\d+ blocks {2}[\d.]+ MiB {2}[\d.]+ MiB\/s {2}3 peers {2}0 % read/)
  assert.ok(!stripVTControlCharacters(shown.slice(shown.lastIndexOf('read'))).includes('fetching'), 'nothing is left on the line')
})

test('where nobody watches nothing is shown, and what is printed aside is printed', () => {
  let printed = ''
  noProgress.update({ blockCount: 1, byteLength: 1, peerCount: 1 })
  noProgress.aside(() => { printed = 'result' })
  assert.equal(printed, 'result')
})
