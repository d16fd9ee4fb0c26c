import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { HOLDFAST, newFolder, startNode } from './harness.ts'

/** A command of a console block and what it should print; `…` stands for anything. */
interface Step { readonly command: string, readonly expected: string }

const README = join(import.meta.dirname, '../README.md')
const hasCurl = spawnSync('curl', ['--version']).status === 0

test('the tour of the README does what it says', { skip: !hasCurl && 'the tour needs curl' }, async (context) => {
  const node = await startNode(context)
  const cwd = join(await newFolder(context), 'checkout')
  const bin = join(cwd, '..', 'bin')
  await Promise.all([mkdir(cwd), mkdir(bin)])
  // In a checkout `npx holdfast` finds the launcher; here a stand-in of that name runs it for our node.
  await writeFile(join(bin, 'npx'), `#!/bin/sh\nshift\nexec "${process.execPath}" "${HOLDFAST}" --path "${node.repository}" "$@"\n`, { mode: 0o755 })

  const steps = stepsOf(await readFile(README, 'utf8'))
  assert.ok(steps.length >= 12, `${steps.length} steps`)
  for (const { command, expected } of steps) {
    const actual = command.replaceAll('http://127.0.0.1:8080', node.ready.gateway)
    const printed = await shell(actual, { cwd, path: bin })
    assertPrinted(printed, expected, command)
  }
})

function stepsOf (markdown: string): Step[] {
  const tour = markdown.slice(markdown.indexOf('## A tour'), markdown.indexOf('## Packages'))
  const blocks = [...tour.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block = '']) => block)
  return blocks.flatMap((block) => block.split(/^\$ /m).slice(1).map((step) => {
    const end = step.indexOf('\n')
    return { command: step.slice(0, end), expected: step.slice(end + 1) }
  }))
}

/** What a person sees: both streams, as they come. */
async function shell (command: string, { cwd, path }: { cwd: string, path: string }): Promise<string> {
  const child = spawn('sh', ['-c', `${command} 2>&1`], { cwd, env: { ...process.env, PATH: `${path}${delimiter}${process.env.PATH}` }, stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed, [status]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number | null]>])
  assert.equal(status, 0, `${command}: ${printed}`)
  return printed
}

function assertPrinted (printed: string, expected: string, command: string): void {
  const lines = (all: string): string[] => all.split('\n').filter((line) => line !== '').toSorted()
  // Files of a folder are added beside one another, so their lines come in any order.
  const patterns = lines(expected).map((line) => new RegExp(`^${line.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`))
  const actual = lines(printed)
  assert.equal(actual.length, patterns.length, `${command} printed:\n${printed}`)
  for (const pattern of patterns) assert.ok(actual.some((line) => pattern.test(line)), `${command}: nothing matches ${pattern} in:\n${printed}`)
}
