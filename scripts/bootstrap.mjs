// Plain JavaScript without dependencies: it runs on whatever Node started npm, and
// its only work is to install the workspace once and go on with Node 24.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [task, ...given] = process.argv.slice(2)
// npm takes the dashes before the flags away, pnpm passes them on.
const args = given[0] === '--' ? given.slice(1) : given

/** What `start` needs is a small part of what the tests need, so it installs only that. */
const scope = task === 'start' ? 'run' : 'all'

installOnce(scope)
const { default: { findNode } } = await import(pathToFileURL(join(root, 'apps/node/bin/find-node.cjs')).href)
const node = findNode(root)
const program = task === 'start' ? [join(root, 'apps/node/bin/holdfast.cjs'), 'start'] : [join(root, 'scripts', `${task}.ts`)]
const child = spawn(node, [...program, ...args], {
  stdio: 'inherit',
  cwd: task === 'start' ? process.env.INIT_CWD ?? process.cwd() : root,
  env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` }
})
// The terminal sends Ctrl-C to everybody; whoever signals this process alone means the task.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => { child.kill(signal) })
child.on('error', (err) => { fail(`Could not run ${node}: ${err.message}`) })
child.on('exit', (status, signal) => { process.exit(signal === null ? status : 1) })

function installOnce (wanted) {
  const lockfile = readFileSync(join(root, 'pnpm-lock.yaml'))
  // pnpm keeps the lockfile of what it installed: the same one, when that was everything.
  const current = join(root, 'node_modules', '.pnpm', 'lock.yaml')
  if (existsSync(current) && readFileSync(current).equals(lockfile)) return
  const stamp = join(root, 'node_modules', '.holdfast-installed')
  const lock = createHash('sha256').update(lockfile).digest('hex')
  if (wanted === 'run' && existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return

  process.stderr.write(`Installing the workspace (${wanted === 'run' ? 'what a node needs' : 'everything'}) …\n`)
  const scopeFlags = wanted === 'run' ? ['--prod', '--filter', 'holdfast-workspace', '--filter', '@holdfast/node...'] : []
  const install = spawnSync(...pnpm(['install', '--frozen-lockfile', '--loglevel=error', ...scopeFlags]), {
    cwd: root,
    // Standard output belongs to the task; `npm start --json` must stay one line of JSON.
    stdio: ['ignore', 2, 2],
    // pnpm asks before it replaces node_modules of another scope, unless it is told that nobody is there.
    env: { ...process.env, CI: 'true' },
    shell: process.platform === 'win32'
  })
  if (install.status !== 0) fail('Installing failed: the lines above say why. A registry that npm can reach is needed once.')
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, lock)
}

/** The pinned pnpm: the one that runs us when there is one, else through npx. */
function pnpm (args) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  if (process.env.npm_config_user_agent?.startsWith('pnpm/')) return ['pnpm', args]
  return ['npx', ['--yes', packageManager, ...args]]
}

function fail (message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
