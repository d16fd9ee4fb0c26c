import { command } from '../command.ts'
import { initRepository } from '../repository.ts'
import { REPOSITORY_FILES } from '../repository-path.ts'
import { join } from 'node:path'

export const init = command({
  usage: 'init',
  summary: 'Make a repository',
  details: 'Makes the folder, the identity of the node and an empty configuration. A repository that is there stays as it is.\n`start` does the same when there is none.',
  flags: {},

  async run ({ repository, isJson, print }) {
    const isNew = await initRepository(repository)
    const { openIdentity } = await import('@holdfast/network')
    const { peerId } = await openIdentity(join(repository, REPOSITORY_FILES.identity))
    if (isJson) return print(JSON.stringify({ repository, peerId, isNew }))
    print(`${isNew ? 'Made' : 'Found'} the repository ${repository}`)
    print(`Peer ${peerId}`)
  }
})
