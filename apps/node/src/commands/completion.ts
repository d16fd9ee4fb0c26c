import { HoldfastError } from '@holdfast/core/errors'
import { onlyArgument } from '../arguments.ts'
import { COMMON_FLAGS, command, type FlagDeclarations } from '../command.ts'
import { COMMANDS } from '../commands.ts'

interface Completion {
  readonly name: string
  readonly summary: string
  readonly flags: FlagDeclarations
}

const SHELLS: Readonly<Record<string, (completions: readonly Completion[]) => string>> = { bash, zsh, fish }

export const completion = command({
  usage: 'completion bash|zsh|fish',
  summary: 'Print a completion script for a shell',
  details: 'bash:  holdfast completion bash > ~/.local/share/bash-completion/completions/holdfast\n' +
    'zsh:   holdfast completion zsh > "${fpath[1]}/_holdfast"\n' +
    'fish:  holdfast completion fish > ~/.config/fish/completions/holdfast.fish',
  flags: {},

  async run ({ print }, args) {
    const shell = onlyArgument(args, 'shell')
    const generate = SHELLS[shell]
    if (generate === undefined) throw new HoldfastError('INVALID', `There is no completion for ${shell}; use ${Object.keys(SHELLS).join(', ')}`)
    const completions = await Promise.all(COMMANDS.map(async ({ name, summary, load }) => ({ name, summary, flags: { ...(await load()).flags, ...COMMON_FLAGS } })))
    print(generate(completions))
  }
})

function flagWords ({ flags }: Completion): string {
  return Object.entries(flags).flatMap(([name, { short }]) => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]).join(' ')
}

/** First words, and for those that have more, their second words. */
function wordTree (completions: readonly Completion[]): Map<string, string[]> {
  const tree = new Map<string, string[]>()
  for (const { name } of completions) {
    const [first = '', second] = name.split(' ')
    tree.set(first, [...tree.get(first) ?? [], ...(second === undefined ? [] : [second])])
  }
  return tree
}

function bash (completions: readonly Completion[]): string {
  const tree = wordTree(completions)
  const seconds = [...tree].filter(([, words]) => words.length > 0)
  return `# bash completion of holdfast
_holdfast() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=() word flags=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do [[ $word == -* ]] || words+=("$word"); done
  case "\${words[*]:0:2}" in
${completions.filter(({ name }) => name.includes(' ')).map((each) => `    "${each.name}") flags="${flagWords(each)}" ;;`).join('\n')}
  esac
  [[ -n $flags ]] || case "\${words[0]}" in
${completions.filter(({ name }) => !name.includes(' ')).map((each) => `    ${each.name}) flags="${flagWords(each)}" ;;`).join('\n')}
  esac
  if [[ \${#words[@]} -eq 0 ]]; then
    COMPREPLY=($(compgen -W "${[...tree.keys()].join(' ')}" -- "$current"))
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  elif [[ \${#words[@]} -eq 1 ]]; then
    case "\${words[0]}" in
${seconds.map(([first, words]) => `      ${first}) COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$current")); return ;;`).join('\n')}
    esac
    COMPREPLY=($(compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _holdfast holdfast`
}

function zsh (completions: readonly Completion[]): string {
  return `#compdef holdfast
_holdfast() {
  local -a commands words_given
  words_given=(\${(M)words[2,CURRENT-1]:#[^-]*})
  commands=(
${completions.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}`).join('\n')}
  )
  if (( \${#words_given} == 0 )); then
    local -aU first
    first=(\${\${commands%%:*}%% *})
    compadd -- $first
    return
  fi
  case "\${words_given[1]} \${words_given[2]}" in
${completions.filter(({ name }) => name.includes(' ')).map((each) => `    "${each.name}") compadd -- ${flagWords(each)}; _files; return ;;`).join('\n')}
  esac
  case "\${words_given[1]}" in
${completions.filter(({ name }) => !name.includes(' ')).map((each) => `    ${each.name}) compadd -- ${flagWords(each)}; _files ;;`).join('\n')}
${[...wordTree(completions)].filter(([, words]) => words.length > 0).map(([first, words]) => `    ${first}) compadd -- ${words.join(' ')} ;;`).join('\n')}
  esac
}
_holdfast "$@"`
}

function fish (completions: readonly Completion[]): string {
  const lines = ['# fish completion of holdfast']
  for (const { name, summary, flags } of completions) {
    const [first = '', second] = name.split(' ')
    const condition = second === undefined ? `__fish_seen_subcommand_from ${first}` : `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`
    lines.push(second === undefined
      ? `complete -c holdfast -n __fish_use_subcommand -f -a ${first} -d ${quote(summary)}`
      : `complete -c holdfast -n '__fish_seen_subcommand_from ${first}; and test (count (commandline -opc)) -eq 2' -f -a ${second} -d ${quote(summary)}`)
    for (const [flag, { short, help, type }] of Object.entries(flags)) {
      lines.push(`complete -c holdfast -n '${condition}' -l ${flag}${short === undefined ? '' : ` -s ${short}`}${type === 'string' ? ' -r' : ''} -d ${quote(help)}`)
    }
  }
  for (const [first, words] of wordTree(completions)) {
    if (words.length > 0) lines.push(`complete -c holdfast -n __fish_use_subcommand -f -a ${first} -d ${quote(`${first}: ${words.join(', ')}`)}`)
  }
  return lines.join('\n')
}

function quote (text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
