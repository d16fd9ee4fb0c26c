import { HoldfastError, parseCid } from '@holdfast/core'
import { base32 } from 'multiformats/bases/base32'
import { onlyArgument, wholeNumber } from '../arguments.ts'
import { command, type CommandContext } from '../command.ts'
import { baseOfText, convertCid, formatCid, hasherName } from './cid-format.ts'

/** Longest line of standard input that is taken for a CID, in characters: none is longer than a few hundred. */
const MAX_LINE_CHARACTERS = 1024

export const cidFormat = command({
  usage: 'cid format CID…|- [FLAGS]',
  summary: 'Write CIDs in another way',
  details: 'Without an argument, or with -, CIDs are read from standard input, one a line.\n%s CID  %S without the letter of the base  %b %B base  %v %V version  %c %C codec  %h %H hash  %L length of the digest\n%m %M multihash  %d %D digest  %P prefix  %% a percent sign',
  flags: {
    format: { type: 'string', short: 'f', value: 'FORMAT', help: 'What to print of each [default: %s]' },
    base: { type: 'string', short: 'b', value: 'NAME', help: 'Multibase, by name or letter' },
    'cid-version': { type: 'string', short: 'v', value: 'N', help: 'Version of the CID, 0 or 1' },
    mc: { type: 'string', value: 'CODEC', help: 'Codec of the CID' }
  },

  async run (context, args, { format = '%s', base, 'cid-version': versionText, mc }) {
    const version = wholeNumber('cid-version', versionText)
    for await (const text of textsOf(context, args)) context.print(formatCid(convertCid(parseCid(text), text, { base, version, codec: mc }), format))
  }
})

export const cidBase32 = command({
  usage: 'cid base32 CID…|-',
  summary: 'Write CIDs as version 1 in base32',
  details: 'Without an argument, or with -, CIDs are read from standard input, one a line.',
  flags: {},

  async run (context, args) {
    for await (const text of textsOf(context, args)) context.print(parseCid(text).toV1().toString(base32))
  }
})

export const cidInspect = command({
  usage: 'cid inspect CID',
  summary: 'Tell what a CID is made of',
  flags: {},

  async run (context, args) {
    const text = onlyArgument(args, 'CID')
    const cid = parseCid(text)
    const { multihash } = cid
    const base = baseOfText(text)
    const written = (version: number): string | undefined => {
      if (version === 0 && (cid.code !== 0x70 || multihash.code !== 0x12)) return undefined
      return formatCid(convertCid(cid, text, { version, base: version === 0 ? undefined : 'base32' }), '%s')
    }
    const parts = { cid: text, version: cid.version, multibase: base.name, codec: formatCid({ cid, base }, '%c'), codecCode: cid.code, hash: hasherName(cid), hashCode: multihash.code, digestByteLength: multihash.digest.byteLength, digestHex: Buffer.from(multihash.digest).toString('hex'), cidV0: written(0), cidV1: written(1) }
    if (context.isJson) return context.print(JSON.stringify(parts))
    context.print(`CID        ${parts.cid}`)
    context.print(`Version    ${parts.version}`)
    context.print(`Multibase  ${parts.multibase} (${base.prefix})`)
    context.print(`Codec      ${parts.codec} (0x${parts.codecCode.toString(16)})`)
    context.print(`Hash       ${parts.hash} (0x${parts.hashCode.toString(16)}), ${parts.digestByteLength} bytes`)
    context.print(`Digest     ${parts.digestHex}`)
    context.print(`CIDv0      ${parts.cidV0 ?? 'none: that is dag-pb with sha2-256 only'}`)
    context.print(`CIDv1      ${parts.cidV1}`)
  }
})

/** The CIDs that were named, or the lines of standard input. */
async function * textsOf ({ stdin }: CommandContext, args: readonly string[]): AsyncIterable<string> {
  const named = args.filter((arg) => arg !== '-')
  yield * named
  if (named.length === args.length && args.length > 0) return
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of stdin) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_LINE_CHARACTERS) throw new HoldfastError('INVALID', `A line of standard input is longer than ${MAX_LINE_CHARACTERS} characters, and no CID`)
    yield * lines.map((line) => line.trim()).filter((line) => line !== '')
  }
  if (rest.trim() !== '') yield rest.trim()
}
