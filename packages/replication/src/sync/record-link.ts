import { HoldfastError } from '@holdfast/core'
import type { HeldBytes, PeerId, PeerStream } from '@holdfast/network'
import { setTimeout } from 'node:timers/promises'
import { ANSWER_TIMEOUT_MS, MAX_BATCH_BYTES, MAX_PUSH_QUEUE, PUSH_DELAY_MS } from '../limits.ts'
import { frameOf, readFrames } from './frames.ts'
import { type Answer, decodeAnswer, encodeRequest, type Request } from './messages.ts'

type Question = Extract<Request, { t: 'hello' | 'nodes' | 'list' | 'get' }>
type AnswerTo<Q extends Question> = Extract<Answer, { t: Q extends { t: 'get' } ? 'records' : Q['t'] }>

/** The stream that this node opened to a member: it asks and pushes here, and the member answers. */
export class RecordLink {
  readonly peer: PeerId
  readonly #stream: PeerStream
  readonly #account: HeldBytes
  readonly #frames: AsyncIterator<Uint8Array>
  #asking: Promise<unknown> = Promise.resolve()
  #pushQueue: Uint8Array[] = []
  #isPushing = false
  #isEnded = false

  /** @param account Of the member; given back when the link ends. */
  constructor (stream: PeerStream, account: HeldBytes) {
    this.peer = stream.peer
    this.#stream = stream
    this.#account = account
    this.#frames = readFrames(stream.read(), { account })
  }

  get isEnded (): boolean {
    return this.#isEnded
  }

  /**
   * Asks, one question after the other.
   *
   * @throws `UNAVAILABLE` when the member refuses, says nothing for `ANSWER_TIMEOUT_MS` or the stream ended; `INVALID` for an answer to something else. The link has ended then.
   */
  async ask<Q extends Question> (question: Q): Promise<AnswerTo<Q>> {
    const answer = this.#asking.then(async () => await this.#ask(question))
    this.#asking = answer.catch(() => {})
    return await answer
  }

  /** Sends what has no answer. */
  async send (request: Request): Promise<void> {
    try {
      await this.#stream.write(frameOf(encodeRequest(request)), { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
    } catch (err) {
      this.end(err)
      throw err
    }
  }

  /** Sends records soon, together with others. Beyond `MAX_PUSH_QUEUE` they are left to anti-entropy. */
  push (records: readonly Uint8Array[]): void {
    if (this.#isEnded) return
    this.#pushQueue.push(...records.slice(0, MAX_PUSH_QUEUE - this.#pushQueue.length))
    if (!this.#isPushing) void this.#pushAll()
  }

  end (reason: unknown): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#pushQueue = []
    this.#account[Symbol.dispose]()
    this.#stream.abort(reason instanceof Error ? reason : new Error(String(reason)))
  }

  async #ask<Q extends Question> (question: Q): Promise<AnswerTo<Q>> {
    await this.send(question)
    const timer = globalThis.setTimeout(() => { this.end(new HoldfastError('UNAVAILABLE', `${this.peer} did not answer for ${ANSWER_TIMEOUT_MS} ms`, { peer: this.peer })) }, ANSWER_TIMEOUT_MS)
    try {
      const { done, value } = await this.#frames.next()
      if (done === true) throw new HoldfastError('UNAVAILABLE', `${this.peer} closed the records stream`, { peer: this.peer })
      const answer = decodeAnswer(value)
      if (!answers(question, answer)) throw this.#unexpected(question, answer)
      return answer
    } catch (err) {
      this.end(err)
      throw err
    } finally {
      clearTimeout(timer)
    }
  }

  #unexpected (question: Question, answer: Answer): HoldfastError {
    if (answer.t !== 'refused') return new HoldfastError('INVALID', `${this.peer} answered ${question.t} with ${answer.t}`, { peer: this.peer })
    return new HoldfastError('UNAVAILABLE', `${this.peer} refuses to exchange records: ${answer.why}`, { peer: this.peer, reason: 'refused', records: answer.records })
  }

  async #pushAll (): Promise<void> {
    this.#isPushing = true
    await setTimeout(PUSH_DELAY_MS)
    while (this.#pushQueue.length > 0 && !this.#isEnded) {
      const records = takeBatch(this.#pushQueue)
      // A link that fails has ended; anti-entropy brings what did not arrive.
      await this.send({ t: 'push', records }).catch(() => {})
    }
    this.#isPushing = false
  }
}

function answers<Q extends Question> (question: Q, answer: Answer): answer is AnswerTo<Q> {
  return answer.t === (question.t === 'get' ? 'records' : question.t)
}

/** Removes from the queue as many records as fit into a message. */
function takeBatch (queue: Uint8Array[]): Uint8Array[] {
  let byteLength = 0
  const end = queue.findIndex((record) => (byteLength += record.byteLength) > MAX_BATCH_BYTES)
  return queue.splice(0, Math.min(end === -1 ? queue.length : end, MAX_PUSHED_RECORDS))
}

/** Records of one push, so that its values stay within those of a message. */
const MAX_PUSHED_RECORDS = 2048
