import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { atEnd, newFolder } from '../harness.ts'
import { skipLoudly } from '../programs.ts'
import { eventually, found } from './eventually.ts'
import { Ledger } from './ledger.ts'
import { type Member, openWires, startMembers, wiredMember } from './members.ts'

const isRoot = process.platform === 'linux' && process.getuid?.() === 0

const skip = !isRoot && skipLoudly('a member on a small disk', 'A small file system can be mounted by root on Linux only')

const MIB = 1024 * 1024

/** Mounts a file system in memory of so many MiB; skips the test where that is not allowed. */
async function mountDisk (context: TestContext, mebibytes: number): Promise<string | undefined> {
  const disk = join(await newFolder(context), 'disk')
  await mkdir(disk)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', disk])
  if (mounted.status !== 0) {
    context.skip(skipLoudly('a member on a small disk', `mount is not allowed here: ${String(mounted.stderr)}`))
    return undefined
  }
  atEnd(context, async () => { spawnSync('umount', ['-l', disk]) })
  return disk
}

/** Pins contents until one falls to a member that refuses it, and returns that pin. */
async function pinUntilRefused (ledger: Ledger, adder: Member, full: Member, byteLength: number): Promise<string> {
  // Whom a pin falls to is chance.
  for (let count = 0; count < 40; count++) {
    const content = randomBytes(byteLength)
    const pin = await adder.add(content, { name: `pin ${count}` })
    ledger.put(pin, content, `pin ${count}`)
    const settled = await found('a copy beside that of the adder, or a refusal', async () => {
      const status = await adder.statusOf(pin.id)
      return status?.holders.some(({ peer, state }) => peer === full.peer && state === 'refused') === true || status?.state === 'pinned' ? status : undefined
    })
    const refusal = settled.holders.find(({ peer, state }) => peer === full.peer && state === 'refused')
    if (refusal === undefined) continue
    assert.equal(refusal.why, 'no space')
    return pin.id
  }
  throw new Error('None of 40 pins fell to the member that is full')
}

test('a member whose disk is full refuses a copy, the status says so, the next member takes it, and the full one goes on', { skip }, async (context) => {
  const disk = await mountDisk(context, 16)
  if (disk === undefined) return
  const wires = openWires(context)
  // It offers far more than it has, and than the others do: most pins fall to it.
  const full = await wiredMember(context, wires, 'full', { repository: join(disk, 'repository'), flags: ['--storage-max-bytes', '100GB', '--cache-max-bytes', '0'] })
  const [m0, adder, m3] = await Promise.all(['m0', 'm1', 'm3'].map(async (name) => await wiredMember(context, wires, name, { flags: ['--storage-max-bytes', '10GB'] })))
  assert.ok(m0 !== undefined && adder !== undefined && m3 !== undefined)
  const members = [m0, adder, full, m3]
  await startMembers(members)

  const ledger = new Ledger()
  const refused = await pinUntilRefused(ledger, adder, full, 5 * MIB)
  // The next in order takes it, and all tell the same.
  await ledger.untilHeldBy(members)
  assert.match(await adder.node.ok(['pin', 'status', refused]), /copies 2\/2/)
  assert.equal((await adder.statusOf(refused))?.holders.some(({ peer, isCounted }) => peer === full.peer && isCounted), false)

  // The member goes on: it serves, it lists, it is heard, and what it adds finds its place or is refused with what to do.
  const kept = (await full.statuses()).filter(({ holders }) => holders.some(({ peer, isCounted }) => peer === full.peer && isCounted))
  assert.ok(kept.length > 0, 'it has copies that it serves')
  await ledger.compare(full, kept.map(({ id }) => id))
  assert.match(await full.node.ok(['member', 'ls']), /this node/)
  const small = randomBytes(100)
  const added = await full.add(small, { name: 'small' }).catch((err: unknown) => {
    if (!isErrorCode(err, 'LIMIT')) throw err
    assert.match(err.message, /Free some space on it, or unpin and collect/)
  })
  if (added !== undefined) ledger.put(added, small, 'small')
  await ledger.untilHeldBy(members)
  await eventually('it is alive for the others', async () => (await adder.members()).every(({ isAlive }) => isAlive) ? undefined : 'it is not')
})
