import { command } from '../command.ts'
import { initRepository } from '../repository.ts'
import { REPOSITORY_FILES } from '../repository-path.ts'
import { join, resolve } from 'node:path'

export const init = command({
  usage: 'init [--swarm-key new|FILE]',
  summary: 'Make a repository',
  details: 'Makes the folder, the identity of the node and an empty configuration. A repository that is there stays as it is.\n`start` does the same when there is none.',
  flags: {
    'swarm-key': { type: 'string', value: 'new|FILE', help: 'Make the node part of a private network: with a new key, or with a copy of FILE' }
  },

  async run ({ repository, isJson, print, cwd }, _args, flags) {
    const isNew = await initRepository(repository)
    const { openIdentity, readSwarmKey, newSwarmKey, writeSwarmKey } = await import('@holdfast/network')
    const source = flags['swarm-key']
    const swarmKey = join(repository, REPOSITORY_FILES.swarmKey)
    if (source !== undefined) await writeSwarmKey(swarmKey, source === 'new' ? newSwarmKey() : await readSwarmKey(resolve(cwd, source)))
    const { peerId } = await openIdentity(join(repository, REPOSITORY_FILES.identity))
    if (isJson) return print(JSON.stringify({ repository, peerId, isNew }))
    print(`${isNew ? 'Made' : 'Found'} the repository ${repository}`)
    print(`Peer ${peerId}`)
    if (source !== undefined) print(`Wrote ${swarmKey}: copy it to the other nodes of the network, and to nobody else`)
  }
})
