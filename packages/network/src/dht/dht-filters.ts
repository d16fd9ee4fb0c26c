import { HoldfastError } from '@holdfast/core'
import { DHT_MESSAGE, decodeDhtMessage, type DhtMessage, type DhtPeer, encodeDhtMessage, MAX_DHT_ANSWER_ADDRESSES, MAX_DHT_REPLY_BYTES, MAX_DHT_REQUEST_BYTES } from './dht-message.ts'
import type { MessageFilter } from './filtered-stream.ts'
import type { ProviderBook } from './provider-book.ts'

/** What the filter of a server needs. */
export interface ServerParts {
  readonly book: ProviderBook
  /** The addresses of a provider that belong on this network. */
  readonly addressesFor: (provider: DhtPeer) => DhtPeer
  readonly rates: ServerRates
}

/** What a peer may send in a time, over all of its streams. */
export interface ServerRates {
  /** Whether one more record is within the rate of a peer; then it counts. */
  takeRecord(peer: string): boolean
  /** As above, for a question. */
  takeQuestion(peer: string): boolean
}

/** Questions of a peer that wait for their answer on one stream; more ends the stream. The library answers one at a time. */
export const MAX_OPEN_QUESTIONS = 64

/** Between our questions and the library: answers are read with limits. */
export function clientFilter (): MessageFilter {
  return {
    maxReceivedBytes: MAX_DHT_REPLY_BYTES,
    maxSentBytes: MAX_DHT_REQUEST_BYTES,
    received: (message) => encodeDhtMessage(decodeDhtMessage(message, { maxAddresses: MAX_DHT_ANSWER_ADDRESSES })),
    sent: (message) => message,
    isOverRate: false
  }
}

/**
 * Between the questions of a peer and the library.
 *
 * Provider records never reach the library. ADD_PROVIDER goes into our book. GET_PROVIDERS becomes FIND_NODE, which has the same
 * answer but for the providers, and those are put into it on its way out. Records beyond the rate of a peer are dropped without a
 * word, as they have no answer anyway, and the stream is read more slowly; too many questions end it.
 *
 * @param peer Who asks, as a multihash: a peer may announce itself only.
 */
export function serverFilter (peer: Uint8Array, { book, addressesFor, rates }: ServerParts): MessageFilter {
  const questions: DhtMessage[] = []
  const name = Buffer.from(peer).toString('latin1')
  let isOverRate = false

  const received = (bytes: Uint8Array): Uint8Array | undefined => {
    const message = decodeDhtMessage(bytes)
    if (message.type === DHT_MESSAGE.addProvider) {
      isOverRate = !rates.takeRecord(name)
      if (!isOverRate) addProviders(peer, message, book)
      return undefined
    }
    if (!rates.takeQuestion(name)) throw new HoldfastError('LIMIT', 'Too many DHT questions of one peer in a short time')
    if (questions.push(message) > MAX_OPEN_QUESTIONS) throw new HoldfastError('LIMIT', `More than ${MAX_OPEN_QUESTIONS} DHT questions wait on one stream`)
    return encodeDhtMessage(message.type === DHT_MESSAGE.getProviders ? { ...message, type: DHT_MESSAGE.findNode } : message)
  }

  const sent = (bytes: Uint8Array): Uint8Array => {
    const question = questions.shift()
    if (question?.type !== DHT_MESSAGE.getProviders || question.key === undefined) return bytes
    const providers = book.find(question.key).map(addressesFor).filter(({ addresses }) => addresses.length > 0)
    return fitted({ ...decodeDhtMessage(bytes), type: DHT_MESSAGE.getProviders, key: question.key, providers })
  }

  return { maxReceivedBytes: MAX_DHT_REQUEST_BYTES, maxSentBytes: MAX_DHT_REPLY_BYTES, received, sent, get isOverRate () { return isOverRate } }
}

function addProviders (peer: Uint8Array, { key, providers }: DhtMessage, book: ProviderBook): void {
  if (key === undefined) throw new HoldfastError('INVALID', 'Provider record without a key')
  for (const provider of providers) {
    if (Buffer.compare(provider.id, peer) === 0 && provider.addresses.length > 0) book.add(key, provider)
  }
}

/** Fewer providers until our own answer is as small as what we accept. */
function fitted (message: DhtMessage): Uint8Array {
  const bytes = encodeDhtMessage(message)
  if (bytes.byteLength <= MAX_DHT_REQUEST_BYTES || message.providers.length === 0) return bytes
  return fitted({ ...message, providers: message.providers.slice(0, message.providers.length >> 1) })
}
