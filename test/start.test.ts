import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { holdfast, newFolder, startNode } from './harness.ts'

const NO_DAEMON = /^Error: No daemon is running at .* Start one with: holdfast start\n$/

test('start --json prints one line when the node is ready, and Ctrl-C stops it cleanly within 5 s', async (context) => {
  const node = await startNode(context)
  assert.match(node.ready.peerId, /^12D3Koo/)
  assert.match(node.ready.gateway, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.deepEqual(node.ready.swarm, [])
  assert.match(node.ready.rpc, /^http:\/\/127\.0\.0\.1:\d+$/)
  const startedMs = performance.now()
  assert.equal(await node.end('SIGINT'), 0)
  assert.ok(performance.now() - startedMs < 5000)
  assert.equal(existsSync(join(node.repository, 'daemon.lock')), false)
})

test('a second start finds its identity and its data again', async (context) => {
  const first = await startNode(context)
  const cid = await first.ok(['add', '-Q'], { stdin: 'kept' })
  await first.end()
  const second = await startNode(context, { repository: first.repository })
  assert.equal(second.ready.peerId, first.ready.peerId)
  assert.equal(await second.ok(['cat', cid]), 'kept')
  assert.match(await second.ok(['pin', 'ls']), new RegExp(`^${cid} {2}recursive$`))
})

test('start without --json tells what runs, where, and what to try', async (context) => {
  const repository = join(await newFolder(context), 'repository')
  const running = holdfast(['start', '--path', repository, '--gateway-port', '0', '--rpc-port', '0', '--network', 'off'])
  for (let tries = 0; tries < 100 && (await holdfast(['id', '--path', repository])).status !== 0; tries++);
  assert.equal((await holdfast(['stop', '--path', repository])).status, 0)
  const { status, stdout, stderr } = await running
  assert.equal(status, 0, stderr)
  for (const word of [/Peer +12D3Koo/, /Gateway +http:\/\/127\.0\.0\.1:\d+/, /RPC +http:\/\/127\.0\.0\.1:\d+/, /npx holdfast add/]) assert.match(stdout, word)
})

test('files of a repository can be read by their user only', async (context) => {
  const node = await startNode(context)
  for (const [name, mode] of [['', 0o700], ['identity.key', 0o600], ['api.sock', 0o600]] as const) {
    assert.equal((await stat(join(node.repository, name))).mode & 0o777, mode, name)
  }
})

test('a repository that is in use is one clear line that names its holder', async (context) => {
  const node = await startNode(context)
  const { status, stdout, stderr } = await holdfast(['start', '--json', '--path', node.repository, '--gateway-port', '0', '--network', 'off'])
  assert.equal(status, 6)
  assert.equal(stdout, '')
  assert.equal(stderr, `Error: This repository is in use by the daemon with process id ${node.process.pid}. Stop it with: holdfast stop\n`)
})

test('a taken port is one clear line that names its holder', async (context) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => { server.close() })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const { status, stderr } = await holdfast(['start', '--path', join(await newFolder(context), 'r'), '--gateway-port', String(address.port), '--network', 'off'])
  assert.equal(status, 6)
  assert.match(stderr, new RegExp(`^Error: Port ${address.port} of the gateway is taken by process ${process.pid} .*--gateway-port.*\n$`))
})

test('a repository of a newer version is refused before anything in it is touched', async (context) => {
  const repository = await newFolder(context)
  await writeFile(join(repository, 'version'), '99\n')
  await writeFile(join(repository, 'config.json'), '{"from the future": true}')
  const { status, stderr } = await holdfast(['start', '--path', repository, '--network', 'off'])
  assert.equal(status, 7)
  assert.match(stderr, /has version 99.*Update Holdfast/)
  assert.equal(existsSync(join(repository, 'identity.key')), false)
})

test('a configuration with unknown keys and wrong types is refused with every mistake', async (context) => {
  const repository = await newFolder(context)
  await writeFile(join(repository, 'config.json'), '{"gatewayPort": "8080", "colour": 1}')
  const { status, stderr } = await holdfast(['start', '--path', repository, '--network', 'moon'])
  assert.equal(status, 2)
  for (const word of ['gatewayPort must be a number', 'colour is no setting', 'network must be public, lan or off', '--network']) assert.ok(stderr.includes(word), stderr)
})

test('commands without a daemon say in one line how to start one', async (context) => {
  const repository = await newFolder(context)
  for (const args of [['id'], ['add', 'x'], ['cat', 'bafkqaaa'], ['ls', 'bafkqaaa'], ['pin', 'ls'], ['gc'], ['repo', 'stat'], ['stop']]) {
    const { status, stdout, stderr } = await holdfast([...args, '--path', repository])
    assert.equal(status, 6, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, NO_DAEMON, args.join(' '))
  }
})

test('init, version, add --only-hash and config work without a daemon', async (context) => {
  const repository = join(await newFolder(context), 'r')
  const { stdout } = await holdfast(['init', '--json', '--path', repository])
  assert.match((JSON.parse(stdout) as { peerId: string }).peerId, /^12D3Koo/)
  assert.match((await holdfast(['version'])).stdout, /^\d+\.\d+\.\d+\n$/)
  assert.equal((await holdfast(['add', '-n', '-Q'], { stdin: 'hello world' })).stdout, 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e\n')
  assert.equal((await holdfast(['config', 'set', 'gatewayPort', '0', '--path', repository])).status, 0)
  assert.equal((await holdfast(['config', 'get', 'gatewayPort', '--path', repository])).stdout, '0\n')
  assert.equal(await readFile(join(repository, 'config.json'), 'utf8'), '{\n  "gatewayPort": 0\n}\n')
})

test('config show tells the values in force and what decided each', async (context) => {
  const repository = join(await newFolder(context), 'r')
  await mkdir(repository)
  await writeFile(join(repository, 'config.json'), '{"logLevel": "warn"}')
  const node = await startNode(context, { repository })
  const [settings] = await node.json<Record<string, { value: unknown, source: string }>>(['config', 'show'])
  assert.deepEqual(settings?.logLevel, { value: 'warn', source: join(repository, 'config.json') })
  assert.deepEqual(settings?.gatewayPort, { value: 0, source: '--gateway-port' })
  assert.deepEqual(settings?.gatewayHost, { value: '127.0.0.1', source: 'default' })
})

test('a repository whose path is too long for a socket works all the same', async (context) => {
  const repository = join(await newFolder(context), 'x'.repeat(120), 'r')
  const node = await startNode(context, { repository })
  assert.match(await node.ok(['id']), /12D3Koo/)
  assert.equal(existsSync(join(repository, 'api.sock')), false)
})

test('HOLDFAST_PATH names the repository, and --path before or after the command wins over it', async (context) => {
  const node = await startNode(context)
  assert.equal((await holdfast(['id'], { env: { HOLDFAST_PATH: node.repository } })).status, 0)
  for (const args of [['--path', node.repository, 'id'], ['id', '--path', node.repository], [`--path=${node.repository}`, 'id']]) {
    assert.equal((await holdfast(args, { env: { HOLDFAST_PATH: '/elsewhere' } })).status, 0, args.join(' '))
  }
})

test('what people mistype is told with the usage and status 2, and nothing on standard output', async () => {
  for (const args of [['frobnicate'], ['add', '--bogus'], ['pin'], ['cat'], ['start', 'now'], ['start', '--gateway-port', 'x'], ['get', 'a', 'b'], ['--bogus'], ['--bogus', 'id'], []]) {
    const { status, stdout, stderr } = await holdfast(args)
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.equal(stdout, '')
    assert.match(stderr, /Error: /)
  }
})

test('help is printed for the program and for each command, also where no daemon runs', async () => {
  const { stdout } = await holdfast(['--help'])
  const names = [...stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}/gm)].map(([, name = '']) => name)
  assert.ok(names.length >= 22, names.join())
  const helps = await Promise.all(names.map(async (name) => await holdfast([...name.split(' '), '--help'])))
  for (const [index, help] of helps.entries()) assert.match(help.stdout, new RegExp(`Usage: holdfast ${names[index]}`))
})

test('completion scripts are made for three shells and no other', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) assert.match((await holdfast(['completion', shell])).stdout, /holdfast/)
  assert.equal((await holdfast(['completion', 'tcsh'])).status, 2)
})

test('bash completes commands, second words and flags', { skip: spawnSync('bash', ['--version']).status !== 0 && 'needs bash' }, async (context) => {
  const script = join(await newFolder(context), 'completion.bash')
  await writeFile(script, (await holdfast(['completion', 'bash'])).stdout)
  const complete = (...words: string[]): string[] => {
    const { stdout } = spawnSync('bash', ['-c', 'source "$0"; COMP_WORDS=(holdfast "$@"); COMP_CWORD=$#; _holdfast; printf "%s\\n" "${COMPREPLY[@]}"', script, ...words], { encoding: 'utf8' })
    return stdout.split('\n').filter((line) => line !== '')
  }
  assert.deepEqual(complete('ver'), ['version'])
  assert.deepEqual(complete('pin', '').toSorted(), ['add', 'ls', 'rm', 'stat', 'status', 'update', 'why'])
  assert.deepEqual(complete('add', '--only'), ['--only-hash'])
  assert.deepEqual(complete('pin', 'ls', '--ty'), ['--type'])
  assert.deepEqual(complete('config', 's').toSorted(), ['set', 'show'])
})
