/** Facts of one log line. Values are printed, so never a secret. */
export type LogFields = Readonly<Record<string, unknown>>

/**
 * Where a part of the node reports what happened.
 *
 * The message is a constant that can be searched for; everything that varies is a
 * field. The levels mean:
 * - `error`: an operator must act, or data is at risk.
 * - `warn`: something went wrong that the node handled; many of them deserve a look.
 * - `info`: a step in the life of the node, a few per hour.
 * - `debug`: for whoever hunts a fault.
 */
export interface Logger {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  /** A logger that adds `fields` to each of its lines. */
  child(fields: LogFields): Logger
}

/** Drops every line: for tests, and for tools that report in another way. */
export const silentLogger: Logger = {
  error () {},
  warn () {},
  info () {},
  debug () {},
  child () { return silentLogger }
}
