import { command } from '../command.ts'
import { parseSetting } from '../config.ts'
import { parseEngine } from '../parse-engine.ts'
import { initRepository, readConfigFile, readEngine, writeConfigFile } from '../repository.ts'
import { REPOSITORY_FILES } from '../repository-path.ts'
import { join, resolve } from 'node:path'

export const init = command({
  usage: 'init [--engine pack|fs] [--durability disk|os] [--swarm-key new|FILE]',
  summary: 'Make a repository',
  details: 'Makes the folder, the identity of the node and an empty configuration. A repository that is there stays as it is.\n`start` does the same when there is none.',
  flags: {
    engine: { type: 'string', value: 'pack|fs', help: 'How blocks are stored: in append-only CAR files, or one file each [default: pack]' },
    durability: { type: 'string', value: 'disk|os', help: 'What acknowledged blocks survive: a power cut, or with os only a crash of the process; written into config.json [default: disk]' },
    'swarm-key': { type: 'string', value: 'new|FILE', help: 'Make the node part of a private network: with a new key, or with a copy of FILE' }
  },

  async run ({ repository, isJson, print, cwd }, _args, flags) {
    const isNew = await initRepository(repository, parseEngine(flags.engine))
    const engine = await readEngine(repository)
    if (flags.durability !== undefined) await writeConfigFile(repository, { ...(await readConfigFile(repository)).values, durability: parseSetting('durability', flags.durability).value })
    const { openIdentity, readSwarmKey, newSwarmKey, writeSwarmKey } = await import('@holdfast/network')
    const source = flags['swarm-key']
    const swarmKey = join(repository, REPOSITORY_FILES.swarmKey)
    if (source !== undefined) await writeSwarmKey(swarmKey, source === 'new' ? newSwarmKey() : await readSwarmKey(resolve(cwd, source)))
    const { peerId } = await openIdentity(join(repository, REPOSITORY_FILES.identity))
    if (isJson) return print(JSON.stringify({ repository, peerId, engine, isNew }))
    print(`${isNew ? 'Made' : 'Found'} the repository ${repository}`)
    print(`Peer ${peerId}`)
    print(`Engine ${engine}`)
    if (source !== undefined) print(`Wrote ${swarmKey}: copy it to the other nodes of the network, and to nobody else`)
  }
})
