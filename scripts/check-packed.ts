/**
 * Proves that what we would publish works where nothing of this checkout is: every package is built, packed, installed
 * from its tarball into an empty folder, and each of its entry points is loaded there.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT, run } from './run.ts'
import { pnpm } from './pnpm.ts'

interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly bin?: Readonly<Record<string, string>>
  readonly publishConfig?: { readonly exports?: Readonly<Record<string, unknown>> }
}

const folders = ['packages', 'apps'].flatMap((parent) => readdirSync(join(ROOT, parent)).map((name) => join(ROOT, parent, name)))
const packages = folders.map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest })).filter(({ manifest }) => manifest.private !== true)

run('build', process.execPath, [join(ROOT, 'scripts/build.ts')])
const place = mkdtempSync(join(tmpdir(), 'holdfast-packed-'))
try {
  const tarballs = new Map(packages.map(({ folder, manifest }) => [manifest.name, pack(folder)]))
  installInto(join(place, 'project'), tarballs)
  const specifiers = packages.flatMap(({ manifest }) => Object.keys(manifest.publishConfig?.exports ?? {}).map((entry) => manifest.name + entry.slice(1)))
  for (const specifier of specifiers) load(specifier)
  const version = execFileSync(process.execPath, ['node_modules/@holdfast/node/bin/holdfast.cjs', 'version'], { cwd: join(place, 'project'), encoding: 'utf8' }).trim()
  console.log(`${specifiers.length} entry points of ${packages.length} packages load from their tarballs; holdfast ${version} runs`)
} finally {
  rmSync(place, { recursive: true, force: true })
}

function pack (folder: string): string {
  const [program, args] = pnpm(['pack', '--json', '--pack-destination', place])
  const printed = execFileSync(program, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const { filename } = JSON.parse(printed.slice(printed.indexOf('{'))) as { filename: string }
  return filename
}

function installInto (project: string, tarballs: ReadonlyMap<string, string>): void {
  mkdirSync(project)
  const files = Object.fromEntries([...tarballs].map(([name, path]) => [name, `file:${path}`]))
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: files }))
  // Packages name each other by version; here each is its tarball.
  writeFileSync(join(project, 'pnpm-workspace.yaml'), `ignoreScripts: true\noverrides:\n${Object.entries(files).map(([name, path]) => `  '${name}': '${path}'\n`).join('')}`)
  const [program, args] = pnpm(['install', '--prod', '--no-frozen-lockfile'])
  execFileSync(program, args, { cwd: project, stdio: ['ignore', 2, 2] })
}

function load (specifier: string): void {
  const script = `const loaded = await import(${JSON.stringify(specifier)}); if (Object.keys(loaded).length === 0) throw new Error('nothing is exported')`
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: join(place, 'project'), stdio: ['ignore', 'inherit', 'inherit'] })
}
