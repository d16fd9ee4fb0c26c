import type { Command } from './command.ts'

/** What is known of a command before its code is loaded: a client command should start fast. */
export interface CommandEntry {
  /** Words after `holdfast`. */
  readonly name: string
  readonly summary: string
  load(): Promise<Command>
}

/** Every command, in the order of the help. Loading one loads its file only. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'init', summary: 'Make a repository', load: async () => (await import('./commands/init.ts')).init },
  { name: 'start', summary: 'Run a node in the foreground', load: async () => (await import('./commands/start.ts')).start },
  { name: 'stop', summary: 'Stop the running node', load: async () => (await import('./commands/stop.ts')).stop },
  { name: 'add', summary: 'Store files and print their CIDs', load: async () => (await import('./commands/add.ts')).add },
  { name: 'cat', summary: 'Print the content of a file', load: async () => (await import('./commands/cat.ts')).cat },
  { name: 'get', summary: 'Write a file or tree to disk', load: async () => (await import('./commands/get.ts')).get },
  { name: 'ls', summary: 'List a directory', load: async () => (await import('./commands/ls.ts')).ls },
  { name: 'stat', summary: 'Tell what a CID is and how much it holds', load: async () => (await import('./commands/stat.ts')).stat },
  { name: 'dag import', summary: 'Store the blocks of CAR archives', load: async () => (await import('./commands/dag.ts')).dagImport },
  { name: 'dag export', summary: 'Write a DAG as a CAR archive', load: async () => (await import('./commands/dag.ts')).dagExport },
  { name: 'refs', summary: 'Tell what a block links to', load: async () => (await import('./commands/refs.ts')).refs },
  { name: 'dag stat', summary: 'Count the blocks of DAGs, alone and together', load: async () => (await import('./commands/dag-stat.ts')).dagStat },
  { name: 'cid format', summary: 'Write CIDs in another way', load: async () => (await import('./commands/cid.ts')).cidFormat },
  { name: 'cid base32', summary: 'Write CIDs as version 1 in base32', load: async () => (await import('./commands/cid.ts')).cidBase32 },
  { name: 'cid inspect', summary: 'Tell what a CID is made of', load: async () => (await import('./commands/cid.ts')).cidInspect },
  { name: 'pin add', summary: 'Keep a DAG, here or with copies on other members', load: async () => (await import('./commands/pin.ts')).pinAdd },
  { name: 'pin rm', summary: 'Keep a DAG no longer', load: async () => (await import('./commands/pin.ts')).pinRm },
  { name: 'pin ls', summary: 'List what is kept', load: async () => (await import('./commands/pin.ts')).pinLs },
  { name: 'pin stat', summary: 'Tell how much a pin takes, and how much of it nothing else keeps', load: async () => (await import('./commands/pin-keepers.ts')).pinStat },
  { name: 'pin why', summary: 'Tell which pins keep a block, and by which links', load: async () => (await import('./commands/pin-keepers.ts')).pinWhy },
  { name: 'pin status', summary: 'Tell how the copies of a pin are', load: async () => (await import('./commands/pin.ts')).pinStatus },
  { name: 'pin update', summary: 'Keep another DAG instead of one that is kept', load: async () => (await import('./commands/pin.ts')).pinUpdate },
  { name: 'member invite', summary: 'Print a line that lets one node into the cluster', load: async () => (await import('./commands/member.ts')).memberInvite },
  { name: 'member join', summary: 'Join the cluster of an invite', load: async () => (await import('./commands/member.ts')).memberJoin },
  { name: 'member leave', summary: 'Leave the cluster', load: async () => (await import('./commands/member.ts')).memberLeave },
  { name: 'member ls', summary: 'List the members of the cluster', load: async () => (await import('./commands/member.ts')).memberLs },
  { name: 'member rm', summary: 'Remove a member from the cluster', load: async () => (await import('./commands/member.ts')).memberRm },
  { name: 'member role', summary: 'Give a member another role', load: async () => (await import('./commands/member.ts')).memberRole },
  { name: 'gc', summary: 'Remove blocks that nothing keeps', load: async () => (await import('./commands/gc.ts')).gc },
  { name: 'peers', summary: 'List the peers that are connected', load: async () => (await import('./commands/peers.ts')).peers },
  { name: 'connect', summary: 'Connect to a peer', load: async () => (await import('./commands/peers.ts')).connect },
  { name: 'disconnect', summary: 'Close the connections to a peer', load: async () => (await import('./commands/peers.ts')).disconnect },
  { name: 'provide', summary: 'Announce now that this node holds a CID', load: async () => (await import('./commands/peers.ts')).provide },
  { name: 'find-providers', summary: 'Find peers that hold a CID', load: async () => (await import('./commands/peers.ts')).findProviders },
  { name: 'stats', summary: 'Tell traffic, reachability and announcements', load: async () => (await import('./commands/peers.ts')).stats },
  { name: 'filestore ls', summary: 'List the blocks that lie in files of yours', load: async () => (await import('./commands/filestore.ts')).filestoreLs },
  { name: 'filestore verify', summary: 'Check the blocks that lie in files of yours', load: async () => (await import('./commands/filestore.ts')).filestoreVerify },
  { name: 'repo stat', summary: 'Count blocks, bytes and pins', load: async () => (await import('./commands/repo.ts')).repoStat },
  { name: 'repo verify', summary: 'Check every block against its CID', load: async () => (await import('./commands/repo-check.ts')).repoVerify },
  { name: 'repo repair', summary: 'Fetch damaged blocks again', load: async () => (await import('./commands/repo-check.ts')).repoRepair },
  { name: 'repo scrub', summary: 'Check every block in the background, slowly', load: async () => (await import('./commands/repo-check.ts')).repoScrub },
  { name: 'repo rebuild-index', summary: 'Make the index of the packs anew', load: async () => (await import('./commands/repo-convert.ts')).repoRebuildIndex },
  { name: 'repo convert', summary: 'Move the blocks to another engine', load: async () => (await import('./commands/repo-convert.ts')).repoConvert },
  { name: 'config show', summary: 'Print the settings in force and what decided them', load: async () => (await import('./commands/config.ts')).configShow },
  { name: 'config get', summary: 'Print one setting', load: async () => (await import('./commands/config.ts')).configGet },
  { name: 'config set', summary: 'Change a setting', load: async () => (await import('./commands/config.ts')).configSet },
  { name: 'id', summary: 'Tell who and where the node is', load: async () => (await import('./commands/id.ts')).id },
  { name: 'version', summary: 'Print the version', load: async () => (await import('./commands/version.ts')).version },
  { name: 'completion', summary: 'Print a completion script for a shell', load: async () => (await import('./commands/completion.ts')).completion }
]

/** Finds the command that the words begin with; the longest name wins. */
export function findCommand (words: readonly string[]): { entry: CommandEntry, rest: string[] } | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ')
    const entry = COMMANDS.find((candidate) => candidate.name === name)
    if (entry !== undefined) return { entry, rest: words.slice(length) }
  }
  return undefined
}
