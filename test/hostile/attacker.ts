/**
 * A hostile process: runs one attack against a daemon and ends by itself.
 *
 * Its one argument is `AttackOptions` as JSON. Prints a line `{"inPosition":true}` when the attack is under way, goes on until it
 * gets a line on its standard input, and then prints one with what it did. Ends as well when its standard input does, that is when
 * its parent is gone, and at a hard deadline in any case.
 */
import type { Attack, AttackOptions, AttackProgram } from './attack.ts'
import * as bitswap from './attacks/bitswap.ts'
import * as dht from './attacks/dht.ts'
import * as identify from './attacks/identify.ts'
import * as streams from './attacks/streams.ts'
import * as transport from './attacks/transport.ts'

const PROGRAMS: Readonly<Record<string, AttackProgram>> = { ...bitswap, ...dht, ...identify, ...streams, ...transport }

const options = JSON.parse(process.argv[2] ?? '') as AttackOptions
const program = PROGRAMS[options.attack]
if (program === undefined) throw new Error(`No attack is called ${options.attack}`)

setTimeout(() => { process.exit(3) }, options.deadlineMs)
process.stdin.on('data', () => { over.abort() }).on('end', () => { process.exit(4) })
// A victim that resets the connection must not end the attack: the library's loose ends are the attacker's own business.
process.on('unhandledRejection', () => { count('looseEnds') })
process.on('uncaughtException', () => { count('looseEnds') })

const report: Record<string, number> = {}
const over = new AbortController()
const attack: Attack = { ...options, signal: over.signal, inPosition, count }

try {
  await program(attack)
  print(report)
  process.exit(0)
} catch (err) {
  console.error(err)
  process.exit(1)
}

function inPosition (): void {
  print({ inPosition: true })
}

function count (what: string, more = 1): void {
  report[what] = (report[what] ?? 0) + more
}

function print (line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
