import { command } from '../command.ts'
import { printable } from '../terminal/format.ts'

export const id = command({
  usage: 'id',
  summary: 'Tell who and where the node is',
  flags: {},

  async run ({ daemon, signal, isJson, print }) {
    for await (const answer of daemon.call('id', {}, { signal })) {
      if (answer.type !== 'event') continue
      const { peerId, agent, gateway, swarm, reachability, rpc, repository } = answer.event
      if (isJson) {
        print(JSON.stringify(answer.event))
      } else {
        print(`Peer        ${peerId}`)
        print(`Agent       ${agent}`)
        print(`Gateway     ${gateway}`)
        print(`RPC         ${rpc}`)
        print(`Addresses   ${swarm.length === 0 ? 'none yet' : swarm.join(', ')}`)
        print(`Reachable   ${reachability.state}: ${printable(reachability.how)}`)
        print(`Repository  ${printable(repository)}`)
      }
    }
  }
})
