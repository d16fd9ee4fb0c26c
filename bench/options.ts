import { parseArgs } from 'node:util'

/** What a run measures, and how much of it. */
export interface Options {
  /** Rows whose name contains one of these; none means all. */
  readonly words: readonly string[]
  /** Rounds of each row; what takes minutes takes fewer. */
  readonly rounds: number
  /** Bytes that are fetched, or that an archive holds, in MiB; `undefined` for what each row is named after. */
  readonly sizeMib: number | undefined
  /** Files of 4 KiB in the tree that is fetched. */
  readonly fileCount: number
  /** Blocks of the repositories that are collected, and of the stores that are opened and compacted. */
  readonly blockCount: number
  /** Pins of one block each that a cluster is given. */
  readonly pinCount: number
  /** Peers that an idle node is connected with. */
  readonly peerCount: number
  /** How long an idle node is watched, in seconds. */
  readonly idleSeconds: number
  /** Whether to set the rows beside `baselines.json`. */
  readonly isComparing: boolean
}

export const USAGE = `Usage: npm run bench -- [WORD…] [--only WORD] [--rounds N] [--size MIB] [--files N] [--blocks N] [--pins N] [--peers N] [--seconds N] [--compare] [--list]
  WORD, --only   rows whose name contains the word
  --rounds       rounds of each row [default: 5, or BENCH_ROUNDS]
  --size         MiB that the rows of fetches, of archives and of a large pin move [default: 1024 on loopback, 256 with a delay]
  --files        files of the tree that is fetched [default: 10000]
  --blocks       blocks of the repositories that are collected, and of the large stores of packs [default: 110000]
  --pins         pins of one block that a cluster is given [default: 10000]
  --peers        peers of the idle node [default: 300]
  --seconds      how long the idle node is watched [default: 60]
  --compare      also set each ratio beside the one of bench/baselines.json
  --list         print the names of the rows and stop`

/** Reads the command line. Returns `undefined` when only the names of the rows are asked for. */
export function readOptions (args: readonly string[], environment: NodeJS.ProcessEnv): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      size: { type: 'string' },
      files: { type: 'string' },
      blocks: { type: 'string' },
      pins: { type: 'string' },
      peers: { type: 'string' },
      seconds: { type: 'string' },
      compare: { type: 'boolean' },
      list: { type: 'boolean' }
    }
  })
  if (values.list === true) return undefined
  return {
    words: [...positionals, ...values.only ?? []],
    rounds: count('rounds', values.rounds ?? environment.BENCH_ROUNDS) ?? 5,
    sizeMib: count('size', values.size),
    fileCount: count('files', values.files) ?? 10_000,
    blockCount: count('blocks', values.blocks) ?? 110_000,
    pinCount: count('pins', values.pins) ?? 10_000,
    peerCount: count('peers', values.peers) ?? 300,
    idleSeconds: count('seconds', values.seconds) ?? 60,
    isComparing: values.compare === true
  }
}

function count (name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new Error(`--${name} must be a whole number from 1 to 99999999, not ${text}`)
  return Number(text)
}
