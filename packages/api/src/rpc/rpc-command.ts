import type { ApiNode } from '../api-node.ts'
import type { RpcReply } from './rpc-reply.ts'
import type { UploadedPart } from './upload.ts'

/** What a value of an option is. */
export type OptionType = 'bool' | 'int' | 'string'

/** Options by name: their type, then other names for the same. */
export type OptionDeclarations = Readonly<Record<string, readonly [type: OptionType, ...aliases: string[]]>>

/** The values that were given, by the first name of the option. */
export type OptionValues<Options extends OptionDeclarations> = OptionDeclarations extends Options
  ? Readonly<Record<string, boolean | number | string>>
  : { readonly [Name in keyof Options]?: Options[Name][0] extends 'bool' ? boolean : Options[Name][0] extends 'int' ? number : string }

/** How many `arg=` a command takes. */
export interface ArgumentCount {
  readonly names: readonly string[]
  /** How many of the names must be there. @default all */
  readonly required?: number
  /** Whether the last name may come more than once. @default false */
  readonly repeats?: boolean
}

/** One call, as a command sees it. */
export interface RpcCall<Options extends OptionDeclarations = OptionDeclarations> {
  readonly node: ApiNode
  readonly args: readonly string[]
  readonly options: OptionValues<Options>
  /** Aborted when the caller goes away, takes too long or its own `timeout` is over. */
  readonly signal: AbortSignal
  readonly reply: RpcReply
  /** What was uploaded, read as it comes. */
  readonly upload: AsyncIterable<UploadedPart>
}

/** A command of the RPC: what it takes, and what it does. */
export interface RpcCommand<Options extends OptionDeclarations = OptionDeclarations> {
  readonly args?: ArgumentCount
  readonly options?: Options
  /** Whether it reads an upload, which it then must have. */
  readonly takesUpload?: boolean
  run(call: RpcCall<Options>): Promise<void>
}

/** Declares a command. */
export function rpcCommand<const Options extends OptionDeclarations = Record<never, never>> (declaration: RpcCommand<Options>): RpcCommand {
  const { args, options, takesUpload } = declaration
  return {
    ...(args === undefined ? {} : { args }),
    ...(options === undefined ? {} : { options }),
    ...(takesUpload === undefined ? {} : { takesUpload }),
    // `parseQuery` gave each option the type that is declared for it.
    run: async (call) => { await declaration.run({ ...call, options: call.options as OptionValues<Options> }) }
  }
}
