import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { RoomQueue, type RoomWaiter, TURN_BYTES } from './room-queue.ts'

const KIB = 1024

/** A peer with a window, and sessions that want blocks of one length each. */
class Shared {
  readonly room: RoomQueue
  readonly askedBytes: number[]
  readonly #blockBytes: readonly number[]
  readonly #windowBytes: number
  readonly #owed: number[] = []
  readonly #sessions: RoomWaiter[]

  constructor (windowBytes: number, blockBytes: readonly number[]) {
    this.#windowBytes = windowBytes
    this.#blockBytes = blockBytes
    this.askedBytes = blockBytes.map(() => 0)
    this.room = new RoomQueue((byteLength) => this.#hasRoom(byteLength))
    this.#sessions = blockBytes.map((_, index) => ({ onRoom: () => { this.fill(index) } }))
  }

  /** The session asks for as much as it may, and waits. */
  fill (index: number): void {
    const [session, byteLength] = [this.#sessions[index], this.#blockBytes[index]]
    assert.ok(session !== undefined && byteLength !== undefined)
    while (this.#hasRoom(byteLength) && this.room.isTurnOf(session)) {
      this.#owed.push(byteLength)
      this.askedBytes[index] = (this.askedBytes[index] ?? 0) + byteLength
      this.room.asked(byteLength)
    }
    this.room.wait(session, byteLength)
  }

  leave (index: number): void {
    const session = this.#sessions[index]
    if (session !== undefined) this.room.leave(session)
  }

  /** What was asked first came. Its session asks for more at once, as sessions do. */
  deliver (): void {
    this.#owed.shift()
    this.fill(0)
    this.room.giveTurns()
  }

  #hasRoom (byteLength: number): boolean {
    const owedBytes = this.#owed.reduce((sum, bytes) => sum + bytes, 0)
    return owedBytes === 0 || owedBytes + byteLength <= this.#windowBytes
  }
}

test('sessions that wait for room get the same share, whatever the length of their blocks', () => {
  fc.assert(fc.property(fc.array(fc.constantFrom(64 * KIB, 256 * KIB, 1024 * KIB), { minLength: 2, maxLength: 8 }), (blockBytes) => {
    const shared = new Shared(4 * TURN_BYTES, blockBytes)
    for (const index of blockBytes.keys()) shared.fill(index)
    const [...before] = shared.askedBytes
    for (let count = 0; count < 2000; count++) shared.deliver()
    const shares = shared.askedBytes.map((bytes, index) => bytes - (before[index] ?? 0))
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 2 * TURN_BYTES, `${shares}`)
  }))
})

test('a session that is alone asks for as much as there is room for', () => {
  const shared = new Shared(4 * TURN_BYTES, [TURN_BYTES])
  shared.fill(0)
  assert.deepEqual(shared.askedBytes, [4 * TURN_BYTES])
  shared.deliver()
  assert.deepEqual(shared.askedBytes, [5 * TURN_BYTES])
})

test('one that leaves makes room for the next', async () => {
  const shared = new Shared(4 * TURN_BYTES, [64 * KIB, TURN_BYTES, 64 * KIB])
  for (const index of [0, 1, 2]) shared.fill(index)
  shared.leave(0)
  shared.deliver()
  assert.deepEqual(shared.askedBytes.slice(1), [0, 0], 'the room is too small for the first')
  shared.leave(1)
  await nextTurn()
  assert.equal(shared.askedBytes[2], 64 * KIB)
})

test('turns end when nobody makes use of them', () => {
  const room = new RoomQueue(() => true)
  let turnCount = 0
  const idle: RoomWaiter = {
    onRoom () {
      turnCount++
      room.wait(idle, 1)
    }
  }
  room.wait(idle, 1)
  room.giveTurns()
  assert.equal(turnCount, 1)
})
