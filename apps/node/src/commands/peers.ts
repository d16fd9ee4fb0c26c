import { HoldfastError } from '@holdfast/core/errors'
import { onlyArgument, wholeNumber } from '../arguments.ts'
import { command } from '../command.ts'
import { formatBytes, formatSeconds, formatTable, printable } from '../terminal/format.ts'

export const peers = command({
  usage: 'peers [--long]',
  summary: 'List the peers that are connected',
  details: 'Prints peer, direction, round trip, traffic in and out, how long it is connected and its address.',
  flags: {
    long: { type: 'boolean', short: 'l', help: 'Also print the protocols that each peer speaks' }
  },

  async run (context, _args, { long }) {
    const rows: string[][] = []
    for await (const answer of context.daemon.call('peers', {}, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if (context.isJson) {
        context.print(JSON.stringify(event))
        continue
      }
      const { peer, direction, latencyMs, receivedBytes, sentBytes, sinceMs, addresses, isRelayed, protocols } = event
      rows.push([
        peer, direction === 'inbound' ? 'in' : 'out', latencyMs === undefined ? '-' : `${Math.round(latencyMs)} ms`,
        `↓${formatBytes(receivedBytes)}`, `↑${formatBytes(sentBytes)}`, formatSeconds((Date.now() - sinceMs) / 1000),
        `${printable(addresses[0] ?? '-')}${isRelayed ? ' (relayed)' : ''}`
      ])
      if (long === true) rows.push([`  ${protocols.map(printable).join(' ')}`])
    }
    for (const line of formatTable(rows)) context.print(line)
  }
})

export const connect = command({
  usage: 'connect ADDRESS',
  summary: 'Connect to a peer',
  details: 'ADDRESS is a multiaddr that ends in /p2p/PEER, or a peer whose addresses are known or can be found.',
  flags: {},

  async run (context, args) {
    const address = onlyArgument(args, 'ADDRESS')
    for await (const answer of context.daemon.call('connect', { address }, context)) {
      if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event) : `connected ${answer.event.peer}`)
    }
  }
})

export const disconnect = command({
  usage: 'disconnect PEER',
  summary: 'Close the connections to a peer',
  flags: {},

  async run (context, args) {
    const peer = onlyArgument(args, 'PEER')
    for await (const answer of context.daemon.call('disconnect', { peer }, context)) {
      if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event) : `disconnected ${answer.event.peer}`)
    }
  }
})

export const provide = command({
  usage: 'provide CID…',
  summary: 'Announce now that this node holds a CID',
  details: 'Tells how many peers took the announcement. What add and pin add store is announced by itself.',
  flags: {},

  async run (context, args) {
    if (args.length === 0) throw new HoldfastError('INVALID', 'No CID given')
    let refused: string | undefined
    for (const cid of args) {
      for await (const answer of context.daemon.call('provide', { cid }, context)) {
        if (answer.type !== 'event') continue
        const { acceptedCount, failures } = answer.event
        context.print(context.isJson ? JSON.stringify(answer.event) : `${answer.event.cid} was taken by ${acceptedCount} peers`)
        for (const failure of failures) context.note(printable(failure))
        if (acceptedCount === 0) refused = answer.event.cid
      }
    }
    if (refused !== undefined) throw new HoldfastError('UNAVAILABLE', `No peer took the announcement of ${refused}: is this node connected? See holdfast peers`)
  }
})

export const findProviders = command({
  usage: 'find-providers CID [--limit N]',
  summary: 'Find peers that hold a CID',
  details: 'Prints each as it is found.',
  flags: {
    limit: { type: 'string', short: 'n', value: 'N', help: 'Stop after so many [default: 20]' }
  },

  async run (context, args, { limit }) {
    const cid = onlyArgument(args, 'CID')
    for await (const answer of context.daemon.call('find-providers', { cid, limit: wholeNumber('limit', limit) }, context)) {
      if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event) : [answer.event.peer, ...answer.event.addresses.map(printable)].join('  '))
    }
  }
})

export const stats = command({
  usage: 'stats',
  summary: 'Tell traffic, reachability and announcements',
  flags: {},

  async run (context) {
    for await (const answer of context.daemon.call('stats', {}, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if (context.isJson) {
        context.print(JSON.stringify(event))
        continue
      }
      const { traffic, reachability, announcements: { strategy, waitingCount, last, round } } = event
      context.print(`Peers          ${event.peerCount}`)
      context.print(`Reachability   ${reachability.state}: ${printable(reachability.how)}`)
      context.print(`Traffic        ${formatBytes(traffic.total.receivedBytes)} in, ${formatBytes(traffic.total.sentBytes)} out`)
      context.print(`Announcements  strategy ${strategy}, ${waitingCount} waiting, last round ${round.announcedCount} (${round.failedCount} not taken)`)
      if (last !== undefined) context.print(`  last         ${last.cid} was taken by ${last.acceptedCount} peers${last.failures.length === 0 ? '' : `; ${printable(last.failures.join(', '))}`}`)
      for (const [title, counts] of [['By protocol', traffic.byProtocol], ['By peer', traffic.byPeer]] as const) {
        const rows = Object.entries(counts).toSorted(([, a], [, b]) => b.sentBytes + b.receivedBytes - a.sentBytes - a.receivedBytes)
        if (rows.length > 0) context.print(title)
        for (const line of formatTable(rows.map(([name, { sentBytes, receivedBytes }]) => [`  ${printable(name)}`, `${formatBytes(receivedBytes)} in`, `${formatBytes(sentBytes)} out`]))) context.print(line)
      }
    }
  }
})
