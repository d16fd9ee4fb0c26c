import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '..')

/** Who may import whom: the table of ARCHITECTURE.md. The order is the order of the levels. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  car: ['core'],
  blockstore: ['core', 'car'],
  network: ['core'],
  dag: ['core', 'blockstore'],
  providers: ['core', 'network'],
  exchange: ['core', 'car', 'blockstore', 'network', 'dag', 'providers'],
  pins: ['core', 'blockstore', 'dag'],
  replication: ['core', 'blockstore', 'dag', 'network', 'exchange', 'pins', 'providers'],
  gateway: ['core', 'car', 'blockstore', 'dag'],
  api: ['core', 'car', 'blockstore', 'network', 'dag', 'providers', 'exchange', 'pins', 'gateway'],
  testkit: ['core'],
  node: ['core', 'car', 'blockstore', 'network', 'dag', 'providers', 'exchange', 'pins', 'gateway', 'api']
}

/** The one package that may load libp2p at run time. */
const LIBP2P = /^(libp2p$|@libp2p\/|@chainsafe\/)/

const FOLDERS: Readonly<Record<string, string>> = Object.fromEntries([
  ...readdirSync(join(ROOT, 'packages')).map((name) => [name, join(ROOT, 'packages', name)]),
  ...readdirSync(join(ROOT, 'apps')).map((name) => [name, join(ROOT, 'apps', name)])
])

interface Import {
  readonly file: string
  readonly specifier: string
  readonly isTypeOnly: boolean
  readonly isDynamic: boolean
}

test('every package is in the table, and the table names only packages', () => {
  assert.deepEqual(Object.keys(FOLDERS).toSorted(), Object.keys(MAY_IMPORT).toSorted())
})

test('the table has no cycles: a package imports only what stands above it', () => {
  const seen = new Set<string>()
  for (const [name, imports] of Object.entries(MAY_IMPORT)) {
    for (const imported of imports) assert.ok(seen.has(imported), `${name} imports ${imported}, which stands below it`)
    seen.add(name)
  }
})

for (const [name, folder] of Object.entries(FOLDERS)) {
  const imports = sourceFiles(join(folder, 'src')).flatMap(importsOf)
  const production = imports.filter(({ file }) => !isTest(file))

  test(`${name} imports only the packages of its row`, () => {
    for (const { file, specifier } of production) {
      const imported = /^@holdfast\/([a-z]+)/.exec(specifier)?.[1]
      if (imported !== undefined && imported !== name) assert.ok(MAY_IMPORT[name]?.includes(imported), `${file} imports ${specifier}`)
    }
  })

  test(`${name} declares what it imports, and imports what it declares`, () => {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { dependencies?: Record<string, string>, devDependencies?: Record<string, string> }
    const declared = Object.keys(manifest.dependencies ?? {})
    const used = new Set(production.map(({ specifier }) => packageOf(specifier)).filter((used) => used !== undefined))
    used.delete(`@holdfast/${name}`)
    assert.deepEqual([...used].toSorted(), declared.toSorted())
    for (const { file, specifier } of imports.filter(({ file }) => isTest(file))) {
      const needed = packageOf(specifier)
      const known = [...declared, ...Object.keys(manifest.devDependencies ?? {}), `@holdfast/${name}`, 'fast-check']
      if (needed !== undefined) assert.ok(known.includes(needed), `${file} imports ${specifier}`)
    }
  })

  test(`${name} loads no libp2p at run time unless it is network`, () => {
    if (name === 'network') return
    for (const { file, specifier, isTypeOnly } of production) assert.ok(isTypeOnly || !LIBP2P.test(specifier), `${file} imports ${specifier}`)
  })
}

test('a client command loads nothing from elsewhere before it asks the daemon', () => {
  const commands = readdirSync(join(ROOT, 'apps/node/src/commands')).filter((name) => !RUNS_A_NODE.has(name))
  assert.ok(commands.length > 10)
  for (const name of ['../main.ts', ...commands]) {
    assert.deepEqual([...foreignPackagesOf(join(ROOT, 'apps/node/src/commands', name))], [], name)
  }
})

test('only environment.ts and the launcher read environment variables', () => {
  for (const folder of Object.values(FOLDERS)) {
    for (const file of sourceFiles(join(folder, 'src')).filter((path) => !isTest(path))) {
      if (file.endsWith('environment.ts')) continue
      assert.ok(!/process\.env\b/.test(readFileSync(file, 'utf8')), `${relative(ROOT, file)} reads process.env`)
    }
  }
})

/** Commands that check settings or run a node: they may take their time. */
const RUNS_A_NODE: ReadonlySet<string> = new Set(['config.ts', 'init.ts', 'start.ts'])

/** The packages of others that are loaded with `file`, by it or by what it imports. Dynamic imports wait until they are needed. */
function foreignPackagesOf (file: string, seen = new Set<string>()): Set<string> {
  const found = new Set<string>()
  if (seen.has(file)) return found
  seen.add(file)
  for (const { specifier, isTypeOnly, isDynamic } of importsOf(file)) {
    if (isTypeOnly || isDynamic || specifier.startsWith('node:')) continue
    const ours = specifier.startsWith('.') ? join(file, '..', specifier) : entryOf(specifier)
    if (ours === undefined) found.add(specifier)
    else for (const name of foreignPackagesOf(ours, seen)) found.add(name)
  }
  return found
}

/** The source that a name of a package of ours stands for. */
function entryOf (specifier: string): string | undefined {
  const [, name = '', path] = /^@holdfast\/([a-z]+)(?:\/(.+))?$/.exec(specifier) ?? []
  const folder = FOLDERS[name]
  if (folder === undefined) return undefined
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { exports: Record<string, string> }
  const entry = exports[path === undefined ? '.' : `./${path}`]
  assert.ok(entry !== undefined, `${specifier} is not exported`)
  return join(folder, entry)
}

function isTest (file: string): boolean {
  return file.endsWith('.test.ts') || file.includes('/test-') || file.endsWith('conformance.ts')
}

function sourceFiles (folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

function importsOf (path: string): Import[] {
  const text = readFileSync(path, 'utf8')
  const file = relative(ROOT, path)
  const statics = [...text.matchAll(/^(?:import|export)\s+(type\s+)?[^'"]*?from\s+'([^']+)'/gm)].map(([, type, specifier = '']) => ({ file, specifier, isTypeOnly: type !== undefined, isDynamic: false }))
  const dynamics = [...text.matchAll(/\bimport\('([^']+)'\)/g)].map(([, specifier = '']) => ({ file, specifier, isTypeOnly: false, isDynamic: true }))
  const bare = [...text.matchAll(/^import\s+'([^']+)'/gm)].map(([, specifier = '']) => ({ file, specifier, isTypeOnly: false, isDynamic: false }))
  return [...statics, ...dynamics, ...bare]
}

/** The name of the package that a specifier loads, or `undefined` for our own files and node's. */
function packageOf (specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}
