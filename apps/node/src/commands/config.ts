import { HoldfastError, isHoldfastError } from '@holdfast/core/errors'
import { onlyArgument } from '../arguments.ts'
import { command, type CommandContext } from '../command.ts'
import { CONFIG_KEYS, type EffectiveSetting, parseConfig, parseSetting, settingText, type SettingValue } from '../config.ts'
import { initRepository, readConfigFile, writeConfigFile } from '../repository.ts'
import { formatTable, printable } from '../terminal/format.ts'

export const configShow = command({
  usage: 'config show',
  summary: 'Print the settings in force and what decided them',
  details: 'Asks the running node; without one, tells what a node would start with.',
  flags: {},

  async run (context) {
    const settings = await effectiveSettings(context)
    if (context.isJson) return context.print(JSON.stringify(Object.fromEntries(settings.map(({ key, value, source }) => [key, { value, source }]))))
    for (const line of formatTable(settings.map(({ key, value, source }) => [key, printable(settingText(value)), printable(source)]))) context.print(line)
  }
})

export const configGet = command({
  usage: 'config get KEY',
  summary: 'Print one setting',
  flags: {},

  async run (context, args) {
    const key = onlyArgument(args, 'KEY')
    const setting = (await effectiveSettings(context)).find((candidate) => candidate.key === key)
    if (setting === undefined) throw new HoldfastError('INVALID', `${key} is no setting; there are ${CONFIG_KEYS.join(', ')}`)
    context.print(context.isJson ? JSON.stringify(setting) : printable(settingText(setting.value)))
  }
})

export const configSet = command({
  usage: 'config set KEY VALUE',
  summary: 'Change a setting',
  details: 'Writes config.json. A running node takes it up when it starts the next time.\nA list is A,B or JSON; none is the empty one.',
  flags: {
    default: { type: 'boolean', help: 'Go back to the default: config set KEY --default' }
  },

  async run ({ repository, note }, args, flags) {
    const [key = '', text] = args
    const isDefault = flags.default === true
    if (args.length !== (isDefault ? 1 : 2)) throw new HoldfastError('INVALID', 'Give one KEY and one VALUE: holdfast config set gatewayPort 8081')
    if (isDefault && !CONFIG_KEYS.some((known) => known === key)) throw new HoldfastError('INVALID', `${key} is no setting; there are ${CONFIG_KEYS.join(', ')}`)
    await initRepository(repository)
    const { values } = await readConfigFile(repository)
    const others = Object.fromEntries(Object.entries(values).filter(([name]) => name !== key))
    const changed = isDefault ? others : { ...values, [key]: parseSetting(key, text ?? '').value }
    await writeConfigFile(repository, changed)
    note('Written. A running node takes it up when it starts the next time')
  }
})

async function effectiveSettings ({ daemon, signal, repository }: CommandContext): Promise<EffectiveSetting[]> {
  const settings: EffectiveSetting[] = []
  try {
    for await (const answer of daemon.call('settings', {}, { signal })) {
      const key = answer.type === 'event' ? CONFIG_KEYS.find((known) => known === answer.event.key) : undefined
      if (answer.type === 'event' && key !== undefined) settings.push({ key, value: answer.event.value as SettingValue, source: answer.event.source })
    }
    return settings
  } catch (err) {
    if (!isHoldfastError(err) || err.details.reason !== 'no-daemon') throw err
    return parseConfig([await readConfigFile(repository)]).settings
  }
}
