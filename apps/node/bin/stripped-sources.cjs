// Plain JavaScript, like the launcher: in a checkout it stands between the sources and the daemon that runs them.
'use strict'
const { createHash } = require('node:crypto')
const { globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { fileURLToPath } = require('node:url')

/** Everything that the daemon may import from its checkout. */
const SOURCES = ['packages/*/src/**/*.ts', 'apps/*/src/**/*.ts']

/**
 * Strips the types of all sources in the checkout, before the daemon starts and in a process that then ends.
 *
 * Node strips them itself, too, but with a compiler that stays in memory ever after (20 MiB); and its compile cache, which
 * would spare that from the second run on, keeps all that it has read (11 MiB). Where nothing can be written, Node does it.
 */
function stripSources (checkout) {
  // It would be printed that the function is experimental.
  process.removeAllListeners('warning')
  const folder = folderOf(checkout)
  try {
    mkdirSync(folder, { recursive: true })
    const present = new Set(readdirSync(folder))
    for (const path of globSync(SOURCES, { cwd: checkout, exclude: (name) => name.endsWith('.test.ts') })) {
      const source = readFileSync(join(checkout, path), 'utf8')
      const name = nameOf(source)
      if (!present.delete(name)) replaceFile(join(folder, name), sealed(require('node:module').stripTypeScriptTypes(source)))
    }
    for (const stale of present) if (stale.endsWith('.js')) rmSync(join(folder, stale), { force: true })
  } catch {}
}

/** Makes imports of this process find what was stripped; what was not goes through Node's own stripping. */
function loadStripped (checkout) {
  const folder = folderOf(checkout)
  require('node:module').registerHooks({
    load (url, context, nextLoad) {
      const source = url.startsWith('file:') && url.endsWith('.ts') ? strippedOf(folder, fileURLToPath(url)) : undefined
      return source === undefined ? nextLoad(url, context) : { format: 'module', source, shortCircuit: true }
    }
  })
}

function strippedOf (folder, path) {
  try {
    const stripped = join(folder, nameOf(readFileSync(path, 'utf8')))
    const text = readFileSync(stripped, 'utf8')
    if (sealed(text.slice(0, -SEAL_LENGTH)) === text) return text
    // The next start makes it again.
    rmSync(stripped, { force: true })
  } catch {}
  return undefined
}

/** Nothing is synced: after a power cut a file may be empty, or end early, and not be what its name says. */
function sealed (text) {
  return `${text}\n// ${createHash('sha256').update(text).digest('hex')}`
}

/** Characters of a line end, a comment and a digest. */
const SEAL_LENGTH = '\n// '.length + 64

/** Inside the checkout, where nobody can put code who could not change the sources. */
function folderOf (checkout) {
  return join(checkout, 'node_modules', '.holdfast-stripped')
}

/** Named after the source, so that no edit is ever answered with what it was before, nor one release of Node with another's work. */
function nameOf (source) {
  return `${createHash('sha256').update(`${process.version} sealed`).update(source).digest('hex')}.js`
}

function replaceFile (path, text) {
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, text)
  renameSync(temporary, path)
}

module.exports = { loadStripped, stripSources }
