import type { LogFields, Logger } from '@holdfast/core'
import pino from 'pino'
import type { Config } from '../config.ts'
import { printable, styled } from '../terminal/format.ts'

/** Where log lines go; standard error of the daemon. */
export interface LogStream {
  write(text: string): unknown
  readonly isTTY?: boolean
}

/** Makes the node's logger: JSON lines, or one readable line each on a terminal. */
export function createLog (level: Config['logLevel'], stream: NodeJS.WriteStream): Logger {
  const destination = stream.isTTY ? { write: (line: string) => { stream.write(readableLine(line, stream)) } } : stream
  return wrap(pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } }, destination))
}

/** Our contract puts the message first; pino puts the fields first. */
function wrap (logger: pino.Logger): Logger {
  const at = (level: 'error' | 'warn' | 'info' | 'debug') => (message: string, fields: LogFields = {}): void => { logger[level](fields, message) }
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug'), child: (fields) => wrap(logger.child(fields)) }
}

const STYLES = { error: 'red', warn: 'yellow', info: 'green', debug: 'dim' } as const

function readableLine (line: string, stream: NodeJS.WriteStream): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const style = STYLES[level as keyof typeof STYLES] ?? 'dim'
  const cause = typeof err === 'object' && err !== null && 'message' in err ? ` err=${String(err.message)}` : ''
  const facts = Object.entries(fields).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join('')
  return `${styled('dim', String(time).slice(11, 19), stream)} ${styled(style, String(level).padEnd(5), stream)} ${printable(`${String(msg)}${facts}${cause}`)}\n`
}
