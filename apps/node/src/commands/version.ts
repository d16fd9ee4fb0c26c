import { command } from '../command.ts'
import { VERSION } from '../version.ts'

export const version = command({
  usage: 'version',
  summary: 'Print the version',
  flags: {},

  async run ({ isJson, print }) {
    print(isJson ? JSON.stringify({ version: VERSION, node: process.versions.node, platform: `${process.platform}-${process.arch}` }) : VERSION)
  }
})
