import { walkDag } from '@holdfast/dag'
import { seededRandom } from '@holdfast/testkit'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addContent, collect, type KeepingNode, openKeepers, openKeepingNode } from '../../test/keeping-nodes.ts'
import { cutApart, letMeet, until } from '../../test/nodes.ts'

const STEPS = 24
const NODES = 5

/** How long until all is as wanted after the last fault, in ms: grace, back-off and what the machine takes. */
const QUIET_MS = 45_000

/** Deleted pins are forgotten as soon as all members know of them. */
const forget = { forgetAfterMs: 200, forgetIntervalMs: 100 }

interface Acknowledged {
  readonly cid: CID
  /** Nodes, by index, that were seen to keep it. */
  readonly keepers: Set<number>
}

/** Five nodes, one of which may be down, which may be cut in two. */
class World {
  readonly #context: TestContext
  readonly nodes: KeepingNode[]
  readonly pins = new Map<string, Acknowledged>()
  readonly steps: string[] = []
  down: number | undefined
  isCut = false
  #seed = 0

  constructor (context: TestContext, nodes: KeepingNode[]) {
    this.#context = context
    this.nodes = nodes
  }

  at (index: number): KeepingNode {
    return this.nodes[index] ?? assert.fail(`no node ${index}`)
  }

  alive (): number[] {
    return [...this.nodes.keys()].filter((index) => index !== this.down)
  }

  async put (index: number): Promise<void> {
    const node = this.at(index)
    const cid = await addContent(node, this.#seed++, 300_000)
    await node.pins.add({ cid, kind: 'recursive' })
    const { id } = await node.replication.putPin({ cid, copies: 3 })
    this.pins.set(id, { cid, keepers: new Set() })
  }

  async delete (index: number, pick: number): Promise<void> {
    const { replication } = this.at(index)
    const known = [...this.pins.keys()].filter((id) => replication.pin(id) !== undefined)
    const id = known[Math.floor(pick * known.length)]
    if (id === undefined) return
    this.pins.delete(id)
    await replication.deletePin(id)
  }

  async kill (index: number): Promise<void> {
    if (this.down !== undefined) return
    this.down = index
    await this.at(index)[Symbol.asyncDispose]()
  }

  async return (): Promise<void> {
    if (this.down === undefined) return
    const { folder, blocks } = this.at(this.down)
    this.nodes[this.down] = await openKeepingNode(this.#context, { folder, blocks, forget })
    this.down = undefined
  }

  async cut (pick: number): Promise<void> {
    if (this.isCut) return
    this.isCut = true
    const start = Math.floor(pick * NODES)
    const some = new Set([start, (start + 1) % NODES].filter((index) => index !== this.down))
    await cutApart([...some].map((index) => this.at(index)), this.alive().filter((index) => !some.has(index)).map((index) => this.at(index)))
  }

  meet (): void {
    this.isCut = false
    letMeet(this.alive().map((index) => this.at(index)))
  }

  /** Nobody drops a copy that a pin wants. */
  checkNothingDropped (): void {
    for (const { cid, keepers } of this.pins.values()) {
      for (const index of this.alive()) {
        const keeps = [...this.at(index).pins.list({ cid, owner: 'cluster' })].length > 0
        assert.ok(keeps || !keepers.has(index), `node ${index} dropped ${cid} after ${this.steps.join(', ')}`)
        if (keeps) keepers.add(index)
      }
    }
  }

  async step (random: () => number): Promise<void> {
    const choice = random()
    const alive = this.alive()
    const index = alive[Math.floor(random() * alive.length)] ?? 0
    const pick = random()
    const [name, act] = choice < 0.4
      ? [`put on ${index}`, async () => { await this.put(index) }] as const
      : choice < 0.55
        ? [`delete on ${index}`, async () => { await this.delete(index, pick) }] as const
        : choice < 0.7
          ? [`kill ${index}`, async () => { await this.kill(index) }] as const
          : choice < 0.8
            ? ['return', async () => { await this.return() }] as const
            : choice < 0.9
              ? [`cut at ${pick.toFixed(2)}`, async () => { await this.cut(pick) }] as const
              : ['meet', async () => { this.meet() }] as const
    this.steps.push(name)
    await act()
    this.checkNothingDropped()
  }
}

for (const seed of [1, 2]) {
  test(`whatever happens to five members, no acknowledged pin is lost, no wanted copy is dropped, and all get their copies: seed ${seed}`, async (context) => {
    const random = seededRandom(seed)
    const world = new World(context, await openKeepers(context, NODES, { forget }))
    for (let count = 0; count < STEPS; count++) await world.step(random)
    await world.return()
    world.meet()
    const ids = [...world.pins.keys()]
    assert.ok(ids.length > 0)
    try {
      await until(() => world.nodes.every(({ keeper }) => ids.every((id) => keeper.status(id)?.state === 'pinned')), QUIET_MS)
    } catch (cause) {
      const shown = world.nodes.flatMap(({ keeper }, index) => ids.map((id) => `${index} ${id.slice(0, 4)} ${keeper.status(id)?.state} ${keeper.status(id)?.missing}`))
      throw new Error(`After ${world.steps.join(', ')}:\n${shown.filter((line) => !line.includes('pinned')).join('\n')}`, { cause })
    }
    world.checkNothingDropped()
    // What was deleted is forgotten in the end, and was brought back by nobody.
    await until(() => world.nodes.every(({ replication }) => replication.stats().pinCount === ids.length), QUIET_MS)
    assert.equal(new Set(world.nodes.map(({ replication }) => replication.stats().forgottenCount)).size, 1)
    for (const node of world.nodes) {
      await collect(node)
      for (const { cid } of node.pins.list({ owner: 'cluster' })) assert.ok((await Array.fromAsync(walkDag(node.blocks, [cid]))).length === 3)
    }
    for (const { cid } of world.pins.values()) assert.ok(world.nodes.filter(({ pins }) => [...pins.list({ cid, owner: 'cluster' })].length > 0).length >= 3)
  })
}
