import { encodeCarHeader, encodeCarSection } from '@holdfast/car'
import { Block, CODECS, encodeDagPb } from '@holdfast/core'
import { encodeUnixFs } from '@holdfast/dag'
import { flagVectors, writeVector } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { holdfast, HOLDFAST, newFolder, startNode } from './harness.ts'

const HELLO = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
const EMPTY_DIRECTORY = 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354'

interface Entry { readonly kind: string, readonly cid: string, readonly path: string, readonly byteLength?: number, readonly target?: string }

async function makeTree (folder: string): Promise<string> {
  const tree = join(folder, 'tree')
  await mkdir(join(tree, 'sub', 'empty'), { recursive: true })
  await writeFile(join(tree, 'a.txt'), 'a')
  await writeFile(join(tree, 'big.bin'), randomBytes(3_000_000))
  await writeFile(join(tree, 'sub', 'snow ☃.txt'), 'snow')
  await writeFile(join(tree, '.hidden'), 'hidden')
  await symlink('a.txt', join(tree, 'link'))
  return tree
}

test('standard input becomes a file with the CID that Kubo gives', async (context) => {
  const node = await startNode(context)
  assert.equal(await node.ok(['add', '-Q'], { stdin: 'hello world' }), HELLO)
  assert.equal(await node.ok(['add', '-q', '-'], { stdin: 'hello world' }), HELLO)
  assert.equal(await node.ok(['add'], { stdin: 'hello world' }), `added ${HELLO} ${HELLO}`)
  assert.equal(await node.ok(['cat', HELLO]), 'hello world')
  assert.equal(await node.ok(['cat', '--offset', '6', '--length', '3', `/ipfs/${HELLO}`]), 'wor')
})

test('a tree is added, listed, read and written back as it was', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const tree = await makeTree(folder)

  const refused = await node.run(['add', tree])
  assert.equal(refused.status, 2)
  assert.match(refused.stderr, /is a directory.*-r/)

  const added = await node.json<Entry>(['add', '-r', tree])
  assert.deepEqual(added.map(({ kind, path }) => `${kind} ${path}`).toSorted(), [
    'directory tree', 'directory tree/sub', 'directory tree/sub/empty', 'file tree/a.txt', 'file tree/big.bin', 'file tree/sub/snow ☃.txt', 'symlink tree/link'
  ])
  const root = added.at(-1)?.cid ?? ''

  const listed = await node.json<Entry>(['ls', root])
  assert.deepEqual(listed.map(({ kind, path, byteLength, target }) => [kind, path, kind === 'directory' ? 0 : byteLength, target]), [
    ['file', 'a.txt', 1, undefined], ['file', 'big.bin', 3_000_000, undefined], ['symlink', 'link', undefined, 'a.txt'], ['directory', 'sub', 0, undefined]
  ])
  assert.equal(await node.ok(['cat', `${root}/sub/snow ☃.txt`]), 'snow')

  const target = join(folder, 'copy')
  assert.equal((await node.run(['get', root, '-o', target])).status, 0)
  assert.deepEqual((await readdir(target, { recursive: true })).toSorted(), ['a.txt', 'big.bin', 'link', 'sub', 'sub/empty', 'sub/snow ☃.txt'])
  assert.ok((await readFile(join(target, 'big.bin'))).equals(await readFile(join(tree, 'big.bin'))))
  assert.equal(await readlink(join(target, 'link')), 'a.txt')
  assert.equal(await node.ok(['add', '-rQ', target]), root)
})

test('a single file is written under its own name, and not over one that is there', async (context) => {
  const node = await startNode(context)
  const cwd = await newFolder(context)
  const root = await node.ok(['add', '-wQ', '--stdin-name', 'hello.txt'], { stdin: 'hello' })
  assert.equal((await node.run(['get', `${root}/hello.txt`], { cwd })).status, 0)
  assert.equal(await readFile(join(cwd, 'hello.txt'), 'utf8'), 'hello')
  await writeFile(join(cwd, 'hello.txt'), 'mine')
  const again = await node.run(['get', `${root}/hello.txt`], { cwd })
  assert.notEqual(again.status, 0)
  assert.equal(await readFile(join(cwd, 'hello.txt'), 'utf8'), 'mine')
})

test('flags of add change what is added and how it is told', async (context) => {
  const node = await startNode(context)
  const tree = await makeTree(await newFolder(context))
  const hidden = await node.json<Entry>(['add', '-rH', tree])
  assert.ok(hidden.some(({ path }) => path === 'tree/.hidden'))
  const noEmpty = await node.json<Entry>(['add', '-r', '--empty-dirs=false', tree])
  assert.ok(!noEmpty.some(({ path }) => path === 'tree/sub/empty'))
  const wrapped = await node.json<Entry>(['add', '-w', join(tree, 'a.txt'), join(tree, 'big.bin')])
  assert.deepEqual((await node.json<Entry>(['ls', wrapped.at(-1)?.cid ?? ''])).map(({ path }) => path), ['a.txt', 'big.bin'])
  assert.match(await node.ok(['add', '-Q', '--profile', 'unixfs-v0-2015'], { stdin: 'hello world' }), /^Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD$/)
  assert.match(await node.ok(['add', '-Q', '--hash', 'blake3'], { stdin: 'x' }), /^bafkr4i/)
  const chunked = await node.ok(['add', '-Q', '--chunker', 'size-4', '--max-file-links', '2'], { stdin: '0123456789' })
  assert.equal(await node.ok(['cat', chunked]), '0123456789')
  const [stat] = await node.json<{ blockCount: number }>(['stat', chunked])
  assert.equal(stat?.blockCount, 6)
  for (const flags of [['--chunker', 'rabin-1'], ['--hash', 'md5'], ['--profile', 'none'], ['--cid-version', '2']]) {
    assert.ok([2, 7].includes((await node.run(['add', ...flags], { stdin: 'x' })).status ?? 0), flags.join(' '))
  }
})

test('add takes the flags of ipfs add, and gives the CIDs of Kubo', async (context) => {
  const folder = await newFolder(context)
  const path = join(folder, 'v')
  const cases = ['captured-rabin-1048577', 'captured-buzhash-262144', 'captured-trickle-small-width-2', 'captured-inline-32-over', 'captured-hash-v1-blake2b-256',
    'captured-set-mode', 'captured-set-mtime', 'captured-wrap-unixfs-v1-2025', 'captured-hamt-fanout-16', 'captured-maxdir4-50', 'captured-tree-deref-unixfs-v1-2025', 'captured-tree-noempty-unixfs-v1-2025']
  for (const id of cases) {
    const { input, profile, flags, cid } = flagVectors().find((vector) => vector.id === id) ?? assert.fail(id)
    await rm(path, { recursive: true, force: true })
    await writeVector(path, input)
    const { stdout, stderr } = await holdfast(['add', '--only-hash', '-rQ', '--profile', profile, ...flags, path])
    assert.equal(stdout.trim(), cid, `${id} ${stderr}`)
  }
})

test('modes, times, rules and symlinks are what the flags of add say', async (context) => {
  const node = await startNode(context)
  const tree = await makeTree(await newFolder(context))
  await writeFile(join(tree, 'rules'), '# what is built\nsub/\n')
  const pathsOf = async (...flags: string[]): Promise<string[]> => (await node.json<Entry>(['add', '-r', ...flags, tree])).map(({ path }) => path.slice(5)).toSorted()
  assert.deepEqual(await pathsOf('--ignore', '*.bin', '--ignore', 'rules', '--ignore-rules-path', join(tree, 'rules')), ['', 'a.txt', 'link'])
  const followed = await node.json<Entry>(['add', '-r', '--dereference-symlinks', tree])
  assert.equal(followed.find(({ path }) => path === 'tree/link')?.kind, 'file')
  assert.equal((await node.json<Entry>(['add', join(tree, 'link')]))[0]?.kind, 'symlink')
  assert.equal((await node.json<Entry>(['add', '--dereference-args', join(tree, 'link')]))[0]?.kind, 'file')

  await chmod(join(tree, 'a.txt'), 0o640)
  await utimes(join(tree, 'a.txt'), 1_700_000_000, 1_700_000_000)
  const kept = await node.json<Entry>(['add', '--preserve-mode', '--preserve-mtime', join(tree, 'a.txt')])
  const [stat] = await node.json<{ mode: number, mtimeSeconds: number }>(['stat', kept[0]?.cid ?? ''])
  assert.deepEqual([stat?.mode, stat?.mtimeSeconds], [0o640, 1_700_000_000])
  for (const flags of [['--raw-leaves', '--mode', '0644'], ['--mode', '9'], ['--mtime-nsecs', '1'], ['--mtime', 'now'], ['--mtime', '1', '--mtime-nsecs', '1000000000'], ['--max-hamt-fanout', '12'], ['--inline', '--inline-limit', '129']]) {
    assert.equal((await node.run(['add', ...flags], { stdin: 'x' })).status, 2, flags.join(' '))
  }
})

test('with --ignore-errors what cannot be read is left out and told, and the rest is added and pinned', async (context) => {
  const node = await startNode(context)
  const tree = await makeTree(await newFolder(context))
  const whole = await node.ok(['add', '-rQ', tree])
  await symlink('nowhere', join(tree, 'dead'))
  const without = await node.run(['add', '-rQ', '--dereference-symlinks', tree])
  assert.equal(without.status, 3)
  assert.equal(without.stdout, '')
  await rm(join(tree, 'link'))
  const expected = await node.run(['add', '-rQ', '--dereference-symlinks', '--ignore-errors', tree, join(tree, 'absent')])
  assert.equal(expected.status, 6)
  assert.match(expected.stderr, /dead: there is no such file[^]*absent: there is no such file[^]*2 entries could not be read/)
  assert.notEqual(expected.stdout.trim(), whole)
  assert.ok((await node.json<{ cid: string }>(['pin', 'ls'])).some(({ cid }) => cid === expected.stdout.trim()))
  const hashed = await holdfast(['add', '-nrQ', '--dereference-symlinks', '--ignore-errors', tree])
  assert.equal(hashed.stdout.trim(), expected.stdout.trim())
})

test('dag stat counts each block once in its DAG, and once in all', async (context) => {
  const node = await startNode(context)
  const [first, second] = [await node.ok(['add', '-Q', '--chunker', 'size-2'], { stdin: 'aabbaa' }), await node.ok(['add', '-Q', '--chunker', 'size-2'], { stdin: 'aacc' })]
  const sums = await node.json<Record<string, { blockCount: number, byteLength: number }>>(['dag', 'stat', first, second])
  assert.deepEqual(sums.slice(0, 2).map(({ dag }) => [dag?.blockCount]), [[3], [3]])
  const { unique, total } = sums[2] ?? {}
  assert.deepEqual([unique?.blockCount, total?.blockCount], [5, 6])
  assert.equal((total?.byteLength ?? 0) - (unique?.byteLength ?? 0), 2)
  assert.match(await node.ok(['dag', 'stat', first]), /3 blocks, \d+ bytes[^]*Unique {2}3 blocks[^]*Total {3}3 blocks/)
})

test('refs tells the links of a block, and with -r of all below it', async (context) => {
  const node = await startNode(context)
  const root = await node.ok(['add', '-Q', '--chunker', 'size-2', '--max-file-links', '2'], { stdin: 'aabbaacc' })
  const below = (await node.ok(['refs', root])).split('\n')
  assert.equal(below.length, 2)
  assert.equal((await node.ok(['refs', '-r', root])).split('\n').length, 6)
  assert.equal((await node.ok(['refs', '-ru', root])).split('\n').length, 5)
  assert.deepEqual((await node.ok(['refs', '-e', root])).split('\n'), below.map((cid) => `${root} -> ${cid}`))
  assert.deepEqual((await node.ok(['refs', '-r', '--max-depth', '1', root])).split('\n'), below)
})

test('CIDs are rewritten and taken apart without a node', async () => {
  const v0 = 'Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD'
  const v1 = 'bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa'
  assert.equal((await holdfast(['cid', 'base32', v0, HELLO])).stdout, `${v1}\n${HELLO}\n`)
  assert.equal((await holdfast(['cid', 'format', '-f', '%c %h', '-'], { stdin: `${v0}\n\n${HELLO}` })).stdout, 'dag-pb sha2-256\nraw sha2-256\n')
  assert.equal((await holdfast(['cid', 'format', '-v', '0', v1])).stdout.trim(), v0)
  const inspected: unknown = JSON.parse((await holdfast(['cid', 'inspect', '--json', v0])).stdout)
  assert.deepEqual(inspected, { cid: v0, version: 0, multibase: 'base58btc', codec: 'dag-pb', codecCode: 0x70, hash: 'sha2-256', hashCode: 0x12, digestByteLength: 32, digestHex: 'f852c7fa62f971817f54d8a80dcd63fcf7098b3cbde9ae8ec1ee449013ec5db0', cidV0: v0, cidV1: v1 })
  assert.equal((await holdfast(['cid', 'format', '-v', '0', HELLO])).status, 2)
  assert.equal((await holdfast(['cid', 'inspect', 'nonsense'])).status, 2)
})

test('what --only-hash computes is what add stores', async (context) => {
  const node = await startNode(context)
  const tree = await makeTree(await newFolder(context))
  assert.equal((await holdfast(['add', '-nrQ', tree])).stdout.trim(), await node.ok(['add', '-rQ', tree]))
})

test('a DAG goes to another node as a CAR and arrives whole and pinned', async (context) => {
  const [from, to] = await Promise.all([startNode(context), startNode(context)])
  const folder = await newFolder(context)
  const tree = await makeTree(folder)
  const root = await from.ok(['add', '-rQ', tree])
  const archive = join(folder, 'tree.car')
  assert.equal((await from.run(['dag', 'export', root, '-o', archive])).status, 0)

  const [imported] = await to.json<{ roots: string[], pinned: string[], blockCount: number }>(['dag', 'import', archive])
  assert.deepEqual(imported?.roots, [root])
  assert.deepEqual(imported?.pinned, [root])
  const [stat] = await to.json<{ blockCount: number }>(['stat', root])
  assert.equal(stat?.blockCount, imported?.blockCount)
  assert.match(await to.ok(['pin', 'ls', root]), /recursive/)

  const throughPipe = await to.ok(['dag', 'import', '-', '--stats'], { stdin: await readFile(archive) })
  assert.match(throughPipe, new RegExp(`^pinned ${root}\nImported ${imported?.blockCount} blocks \\(\\d+ bytes\\)$`))
  assert.equal(await to.ok(['dag', 'import', archive, '--silent']), '')
  assert.equal(await to.ok(['add', '-r', '--silent', tree]), '')
})

test('a CAR that is cut short is refused with the place, keeps its good blocks and pins nothing', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const bytes = randomBytes(2_500_000)
  await writeFile(join(folder, 'file'), bytes)
  const other = await startNode(context)
  const root = await other.ok(['add', '-Q', join(folder, 'file')])
  const archive = join(folder, 'file.car')
  await other.ok(['dag', 'export', root, '-o', archive])
  await writeFile(archive, (await readFile(archive)).subarray(0, 2_000_000))

  const { status, stderr } = await node.run(['dag', 'import', archive])
  assert.equal(status, 2, stderr)
  assert.match(stderr, /CAR is cut short: it ends inside the section at byte \d{7} .*file\.car/)
  assert.equal(await node.ok(['pin', 'ls']), '')
  const [repo] = await node.json<{ blockCount: number }>(['repo', 'stat'])
  assert.ok((repo?.blockCount ?? 0) >= 2, `${repo?.blockCount} blocks kept`)
})

test('a CAR with a block above 2 MiB or with wrong bytes is refused by name', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const cid = Buffer.concat([Buffer.from([0x01, 0x55, 0x12, 0x20]), Buffer.alloc(32, 7)])
  // The header of a CARv1 with one root: dag-cbor { roots: [cid], version: 1 }.
  const header = Buffer.concat([Buffer.from([0xa2, 0x65]), Buffer.from('roots'), Buffer.from([0x81, 0xd8, 0x2a, 0x58, 0x25, 0x00]), cid, Buffer.from([0x67]), Buffer.from('version'), Buffer.from([0x01])])
  const section = (bytes: Buffer): Buffer => {
    const length = cid.byteLength + bytes.byteLength
    const varint: number[] = []
    for (let rest = length; ; rest = Math.floor(rest / 128)) {
      varint.push(rest >= 128 ? (rest % 128) | 128 : rest)
      if (rest < 128) break
    }
    return Buffer.concat([Buffer.from(varint), cid, bytes])
  }
  for (const [name, bytes, status] of [['wrong', Buffer.from('wrong'), 4], ['large', Buffer.alloc(2 * 1024 * 1024 + 1), 5]] as const) {
    const path = join(folder, `${name}.car`)
    await writeFile(path, Buffer.concat([Buffer.from([header.byteLength]), header, section(bytes)]))
    const result = await node.run(['dag', 'import', path])
    assert.equal(result.status, status, `${name}: ${result.stderr}`)
  }
  assert.equal(await node.ok(['add', '-Q'], { stdin: 'hello world' }), HELLO)
})

test('pins are added, named, listed, removed, and gc removes exactly what none of them keeps', async (context) => {
  const node = await startNode(context)
  const keep = await node.ok(['add', '-Q', '--name', 'kept thing'], { stdin: 'keep' })
  const drop = await node.ok(['add', '-Q', '--no-pin'], { stdin: 'drop' })
  const directRoot = await node.ok(['add', '-Q', '--no-pin', '--chunker', 'size-2'], { stdin: '012345' })
  assert.match(await node.ok(['pin', 'add', '--no-recursive', directRoot]), /direct/)
  assert.match(await node.ok(['pin', 'ls', '--name', 'kept thing']), new RegExp(`^${keep} {2}recursive {2}kept thing$`))

  const dry = await node.json<{ removedCount: number }>(['gc', '--dry-run'])
  const [collected] = await node.json<{ removedCount: number, keptCount: number }>(['gc'])
  assert.equal(dry[0]?.removedCount, collected?.removedCount)
  assert.equal(collected?.removedCount, 4) // `drop`, and the three leaves below the direct pin.
  assert.equal(collected?.keptCount, 2)
  assert.equal(await node.ok(['cat', keep]), 'keep')
  assert.equal((await node.run(['cat', drop])).status, 3)
  assert.equal((await node.run(['cat', directRoot])).status, 3)

  assert.match(await node.ok(['pin', 'rm', keep]), /^unpinned/)
  assert.equal((await node.run(['pin', 'rm', keep])).status, 3)
  await node.ok(['gc'])
  assert.equal((await node.run(['cat', keep])).status, 3)
})

test('who keeps a block and how much a pin holds alone is told', async (context) => {
  const node = await startNode(context)
  const add = async (name: string, content: string): Promise<string> => await node.ok(['add', '-Q', '--chunker', 'size-2', '--name', name], { stdin: content })
  const first = await add('first', '0123')
  const second = await add('second', '01')
  const [leaf] = (await node.ok(['pin', 'ls', '--type', 'indirect', '-q'])).split('\n')
  assert.ok(leaf !== undefined)
  assert.equal(await node.ok(['pin', 'why', leaf]), `${first} -> ${leaf}  recursive first`)
  assert.equal(await node.ok(['pin', 'why', second]), [`${second}  recursive second`, `${first} -> ${second}  recursive first`].join('\n'))
  const [stat] = await node.json<{ total: object, shared: object, own: { blockCount: number } }>(['pin', 'stat', first])
  assert.deepEqual([stat?.shared, stat?.own.blockCount], [{ blockCount: 1, byteLength: 2 }, 2])
  assert.match(await node.ok(['pin', 'stat', first]), /^shared +1 +2 B$/m)

  const unpinned = await node.ok(['add', '-Q', '--no-pin'], { stdin: 'nobody keeps this' })
  assert.equal(await node.ok(['pin', 'why', unpinned]), 'nothing keeps it; it goes with the next gc')
  assert.equal((await node.run(['pin', 'stat', unpinned])).status, 3)
})

test('indirect pins are told truthfully', async (context) => {
  const node = await startNode(context)
  const root = await node.ok(['add', '-Q', '--chunker', 'size-4'], { stdin: '01234567' })
  const leaf = await node.ok(['add', '-nQ', '--chunker', 'size-4'], { stdin: '0123' })
  assert.match(await node.ok(['pin', 'ls', leaf]), new RegExp(`indirect {2}below ${root}`))
  const indirect = await node.json<{ cid: string }>(['pin', 'ls', '--type', 'indirect'])
  assert.equal(indirect.length, 2)
  assert.equal((await node.run(['pin', 'ls', EMPTY_DIRECTORY])).status, 3)
})

test('a DAG that is not whole here cannot be pinned, and the missing block is named', async (context) => {
  const node = await startNode(context)
  const root = await node.ok(['add', '-nQ', '--chunker', 'size-4'], { stdin: '01234567' })
  const { status, stderr } = await node.run(['pin', 'add', root])
  assert.equal(status, 3)
  assert.ok(stderr.includes(root), stderr)
})

test('interrupting an add leaves no pin and a store that is whole; adding again works', async (context) => {
  const node = await startNode(context)
  const path = join(await newFolder(context), 'large')
  const bytes = randomBytes(32 * 1024 * 1024)
  await writeFile(path, bytes)
  // Standard input that does not end: the add is under way for as long as we like.
  const child = spawn(process.execPath, [HOLDFAST, '--path', node.repository, 'add', '-'], { stdio: ['pipe', 'ignore', 'ignore'] })
  const exited = once(child, 'exit') as Promise<[number | null]>
  child.stdin.on('error', () => {})
  child.stdin.write(bytes)
  while (((await node.json<{ blockCount: number }>(['repo', 'stat']))[0]?.blockCount ?? 0) < 8);
  child.kill('SIGINT')
  assert.deepEqual((await exited)[0], 130)

  assert.equal(await node.ok(['pin', 'ls']), '')
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  const cid = await node.ok(['add', '-Q', path])
  assert.match(await node.ok(['pin', 'ls']), new RegExp(cid))
  const [stat] = await node.json<{ byteLength: number }>(['stat', cid])
  assert.equal(stat?.byteLength, bytes.byteLength)
})

test('pins and blocks that were acknowledged survive kill -9', async (context) => {
  let node = await startNode(context)
  const kept: Array<[cid: string, content: string]> = []
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 4; index++) {
      const content = `round ${round} file ${index}`
      kept.push([await node.ok(['add', '-Q'], { stdin: content }), content])
    }
    await node.end('SIGKILL')
    node = await startNode(context, { repository: node.repository })
    const pins = await node.ok(['pin', 'ls', '-q'])
    for (const [cid, content] of kept) {
      assert.ok(pins.includes(cid), `${cid} is pinned`)
      assert.equal(await node.ok(['cat', cid]), content)
    }
  }
})

test('a torn last record of the journal is cut off at start, and a damaged older one is refused', async (context) => {
  const node = await startNode(context)
  const first = await node.ok(['add', '-Q'], { stdin: 'first' })
  const second = await node.ok(['add', '-Q'], { stdin: 'second' })
  await node.end('SIGKILL')
  const journal = join(node.repository, 'journal')
  const segment = (await readdir(journal)).find((name) => name.endsWith('.log')) ?? ''
  const bytes = await readFile(join(journal, segment))
  await writeFile(join(journal, segment), bytes.subarray(0, bytes.byteLength - 3))

  const torn = await startNode(context, { repository: node.repository })
  const pins = await torn.ok(['pin', 'ls', '-q'])
  assert.ok(pins.includes(first) && !pins.includes(second), pins)
  await torn.ok(['add', '-Q'], { stdin: 'third' })
  await torn.end()

  const damaged = await readFile(join(journal, segment))
  const at = Math.floor(damaged.byteLength / 4)
  damaged[at] = (damaged[at] ?? 0) ^ 0xff
  await writeFile(join(journal, segment), damaged)
  const refused = await holdfast(['start', '--path', node.repository, '--gateway-port', '0', '--network', 'off'])
  assert.equal(refused.status, 4, refused.stderr)
  assert.match(refused.stderr, /journal/i)
})

test('damaged and truncated block files are found, never served, and repaired by adding again', async (context) => {
  const node = await startNode(context, { engine: 'fs' })
  const path = join(await newFolder(context), 'file')
  await writeFile(path, randomBytes(3_000_000))
  const cid = await node.ok(['add', '-Q', path])
  const blocks = join(node.repository, 'blocks')
  const files = (await readdir(blocks, { recursive: true })).filter((name) => name.endsWith('.data'))
  const [flipped = '', truncated = ''] = files
  const bytes = await readFile(join(blocks, flipped))
  bytes[10] = (bytes[10] ?? 0) ^ 1
  await writeFile(join(blocks, flipped), bytes)
  await writeFile(join(blocks, truncated), '')

  const verify = await node.run(['repo', 'verify'])
  assert.equal(verify.status, 4)
  assert.ok([...verify.stdout.matchAll(/^damaged /gm)].length >= 1, verify.stdout)
  const cat = await node.run(['cat', cid])
  assert.ok([3, 4].includes(cat.status ?? 0), cat.stderr)
  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`).then(async (answer) => answer.ok ? await answer.arrayBuffer().then(() => 'whole', () => 'broken') : 'refused')
  assert.notEqual(response, 'whole')

  assert.equal(await node.ok(['add', '-Q', path]), cid)
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
})

test('what cannot be added is named, and the daemon lives on', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const missing = await node.run(['add', join(folder, 'missing')])
  assert.equal(missing.status, 3)
  assert.match(missing.stderr, /no such file/)
  await mkdir(join(folder, 'bad'))
  await symlink('loop', join(folder, 'bad', 'loop'))
  await chmod(join(folder, 'bad'), 0o755)
  assert.equal((await node.run(['add', '-rQ', join(folder, 'bad')])).status, 0)
  assert.equal((await node.run(['add', join(folder, 'bad', 'loop')])).status, 0)
  assert.equal((await node.run(['add', '/dev/null'])).status, 2)
  assert.ok((await lstat(node.repository)).isDirectory())
  assert.equal(await node.ok(['add', '-Q'], { stdin: 'hello world' }), HELLO)
})

test('unknown codecs are opaque bytes and unknown hashes a clear error', async (context) => {
  const node = await startNode(context)
  await node.ok(['add', '-Q'], { stdin: 'hello world' })
  // The same multihash under a codec that nobody registered.
  const opaque = `f01ffff03${'1220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9'}`
  assert.equal(await node.ok(['cat', opaque]), 'hello world')
  const unknownHash = `f015530${'20'}${'00'.repeat(32)}`
  const { status, stderr } = await node.run(['cat', unknownHash])
  assert.equal(status, 7)
  assert.match(stderr, /Hash function 0x30 is not supported/)
})

test('names and symlinks that would leave the target are refused by get, and nothing outside is written', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const leaf = await Block.of(Buffer.from('outside'))
  for (const name of ['../x', '..', 'a/b', '/etc/x', 'nul\0']) {
    const data = encodeUnixFs({ type: 'directory' })
    const directory = await Block.of(encodeDagPb({ links: [{ cid: leaf.cid, name: Buffer.from(name), tsize: 7 }], data }), { codec: CODECS.dagPb })
    const car = Buffer.concat([encodeCarHeader([directory.cid]), ...encodeCarSection(directory), ...encodeCarSection(leaf)])
    await node.ok(['dag', 'import', '-'], { stdin: car })
    const { status, stderr } = await node.run(['get', directory.cid.toString(), '-o', join(folder, 'target')])
    assert.equal(status, 2, `${name}: ${stderr}`)
    assert.deepEqual(await readdir(folder), [], name)
  }

  const tree = join(folder, 'tree')
  await mkdir(tree)
  await symlink('/etc/passwd', join(tree, 'link'))
  const root = await node.ok(['add', '-rQ', tree])
  const refused = await node.run(['get', root, '-o', join(folder, 'target')])
  assert.equal(refused.status, 2, refused.stderr)
  assert.match(refused.stderr, /--allow-outside-symlinks/)
  await node.ok(['get', root, '-o', join(folder, 'target'), '--allow-outside-symlinks'])
  assert.equal(await readlink(join(folder, 'target', 'link')), '/etc/passwd')
})

test('get stops at --max-size and leaves nothing under the name that was asked for', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const cid = await node.ok(['add', '-Q'], { stdin: randomBytes(100_000) })
  const { status, stderr } = await node.run(['get', cid, '-o', join(folder, 'file'), '--max-size', '50000'])
  assert.equal(status, 5, stderr)
  assert.ok(!(await readdir(folder)).includes('file'))
})
