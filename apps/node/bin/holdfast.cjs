#!/usr/bin/env node
// Plain JavaScript for the machine's own Node, however old: finds Node 24 and runs the command line with it.
'use strict'
const { spawn } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { findNode } = require('./find-node.cjs')
const { loadStripped, stripSources } = require('./stripped-sources.cjs')

// Sources in a checkout, compiled files in the published package.
const source = join(__dirname, '../src/main.ts')
const isCheckout = existsSync(source) && !__dirname.includes('node_modules')
const main = isCheckout ? source : join(__dirname, '../dist/main.js')
const checkout = join(__dirname, '../../..')

// Making blocks durable waits in libuv's pool; its four threads would be the limit (measured: 16 in flight
// store three times as many blocks a second). It has to be set before the pool's first use.
process.env.UV_THREADPOOL_SIZE = process.env.UV_THREADPOOL_SIZE || '16'

// The daemon's young generation stays small. V8 lets it grow to 100 MiB and more and gives nothing back while a node idles;
// buffers of blocks that it holds live on, too (measured once, on a busy machine: a third less processor time for each byte that is fetched).
// Two threads of V8 instead of four: glibc keeps for each what its compilations took, 2 MiB, and nothing is faster with four.
const isDaemon = process.argv.includes('start')
const LIMITS = isDaemon ? ['--max-semi-space-size=4', '--v8-pool-size=2'] : []

/** Whether a process can go on as another program: there is no such call on Windows, nor before Node 22. */
const canBecomeAnother = process.execve !== undefined && process.platform !== 'win32'

const node = findNode(__dirname)
if (node === process.execPath) runHere()
else runWith(node)

function runHere () {
  // The sizes of a heap are fixed when its process starts: the daemon's process becomes another one, under the same id.
  const missing = LIMITS.filter((limit) => !process.execArgv.includes(limit))
  if (missing.length > 0 && canBecomeAnother) {
    if (isCheckout) stripSources(checkout)
    process.execve(process.execPath, [process.execPath, ...missing, ...process.execArgv, __filename, ...process.argv.slice(2)], process.env)
  }
  // Compiled (and type-stripped) sources are kept between runs: a client command starts twice as fast. What was read from there
  // stays in memory, which only a process that soon ends can afford.
  if (!isDaemon || !canBecomeAnother) require('node:module').enableCompileCache?.()
  else if (isCheckout) loadStripped(checkout)
  import(require('node:url').pathToFileURL(main).href).then(({ main }) => main(process.argv.slice(2)))
}

function runWith (node) {
  const child = spawn(node, [...(process.platform === 'win32' ? LIMITS : []), __filename, ...process.argv.slice(2)], { stdio: 'inherit' })
  // The terminal sends Ctrl-C to both of us; a signal sent to this process alone is passed on.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (err) => {
    process.stderr.write(`Could not run ${node}: ${err.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code
    else process.kill(process.pid, signal)
  })
}
