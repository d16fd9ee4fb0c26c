import { HoldfastError } from '@holdfast/core/errors'

/** The error of a command that takes no arguments and was given some. */
export function noArguments (command: string, args: readonly string[]): HoldfastError {
  return new HoldfastError('INVALID', `holdfast ${command} takes no arguments: ${JSON.stringify(args[0])} is too many`)
}
