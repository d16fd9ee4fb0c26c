import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_WINDOW_BYTES, MIN_WINDOW_BYTES, PeerMeter } from './peer-meter.ts'

const MIB = 1024 * 1024

/** A peer 50 ms away that sends 256 KiB every `intervalMs`, from the first round trip on. */
function meterOf (intervalMs: number, count: number): PeerMeter {
  const meter = new PeerMeter()
  meter.busyFrom(0)
  meter.addRoundTrip(50)
  for (let index = 1; index <= count; index++) meter.addBytes(MIB / 4, 50 + index * intervalMs)
  return meter
}

test('the rate is that of the bytes that came, whatever the distance', () => {
  assert.equal(Math.round(meterOf(25, 40).bytesPerSecond / MIB), 10)
  assert.equal(Math.round(meterOf(250, 40).bytesPerSecond / MIB), 1)
})

test('one small block after a pause says nothing about the rate', () => {
  const meter = new PeerMeter()
  for (let atMs = 0; atMs < 5000; atMs += 100) {
    meter.busyFrom(atMs)
    meter.addRoundTrip(50)
    meter.addBytes(1000, atMs + 51)
  }
  assert.equal(meter.bytesPerSecond, 0, 'a chain of blocks, each a round trip, is no slow peer')
})

test('time in which nothing was asked does not count', () => {
  const meter = meterOf(25, 40)
  meter.busyFrom(100_000)
  for (let index = 1; index <= 8; index++) meter.addBytes(MIB / 4, 100_050 + index * 25)
  assert.equal(Math.round(meter.bytesPerSecond / MIB), 10)
})

test('what is asked at once grows with rate times distance, within its bounds', () => {
  assert.equal(new PeerMeter().windowBytes, MIN_WINDOW_BYTES)
  const near = meterOf(25, 40).windowBytes
  assert.ok(near > MIN_WINDOW_BYTES && near < MIN_WINDOW_BYTES + 2 * MIB, `${near}`)
  const fast = new PeerMeter()
  fast.busyFrom(0)
  fast.addRoundTrip(500)
  for (let index = 1; index <= 200; index++) fast.addBytes(8 * MIB, 500 + index * 20)
  assert.equal(fast.windowBytes, MAX_WINDOW_BYTES)
})

test('an answer may take longer behind more bytes, and a miss halves what is believed of a peer', () => {
  const meter = meterOf(25, 40)
  assert.ok(meter.timeoutMs(40 * MIB) > meter.timeoutMs(MIB))
  assert.ok(meter.timeoutMs(0) >= 1000 && meter.timeoutMs(1e12) <= 30_000)
  const before = meter.bytesPerSecond
  meter.addTimeout()
  assert.equal(meter.bytesPerSecond, before / 2)
  assert.ok(new PeerMeter().timeoutMs(0) >= 5000, 'one that was never measured gets time')
})
