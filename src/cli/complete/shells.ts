/**
 * Completion scripts, each in its shell's own words: bash(1) "Programmable Completion",
 * zshcompsys(1), fish's complete(1). All data is quoted, though it is this program's own.
 */
import type { CommandWords, OptionWords } from './words.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const WRITERS: Readonly<Record<Shell, (commands: readonly CommandWords[]) => string>> = {
  bash,
  zsh,
  fish,
};

/** The script that teaches a shell to complete these commands. */
export function completionFor(shell: Shell, commands: readonly CommandWords[]): string {
  return WRITERS[shell](commands);
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function bash(commands: readonly CommandWords[]): string {
  const values = commands.flatMap(({ name, options }) => bashValues(name, options));
  const words = commands.map(({ name, options, words }) => {
    const all = [...words, ...options.flatMap((option) => option.names)].join(' ');
    return `    ${quote(name)}) words=${quote(all)} ;;`;
  });
  return `# weft completion bash > /etc/bash_completion.d/weft
_weft() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  local command=\${COMP_WORDS[1]} words=
  [ "$COMP_CWORD" -gt 1 ] || command=
  case "$command $previous" in
${values.join('\n')}
  esac
  case $command in
    '') words=${quote([...commands.map(({ name }) => name), '--help', '--version'].join(' '))} ;;
${words.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _weft weft
`;
}

/** Options with choices offer those, and all others with a value files. */
function bashValues(command: string, options: readonly OptionWords[]): string[] {
  const patterns = (some: readonly OptionWords[]) =>
    some.flatMap(({ names }) => names.map((name) => quote(`${command} ${name}`))).join(' | ');
  const reply = (how: string) => `COMPREPLY=($(compgen ${how} -- "$current")); return ;;`;
  const chosen = options.filter(({ value }) => value === 'choices');
  const any = options.filter(({ value }) => value === 'any');
  return [
    ...chosen.map(
      (one) => `    ${patterns([one])}) ${reply(`-W ${quote(one.choices.join(' '))}`)}`,
    ),
    ...(any.length === 0 ? [] : [`    ${patterns(any)}) ${reply('-f')}`]),
  ];
}

function zsh(commands: readonly CommandWords[]): string {
  const colons = (text: string) => text.replaceAll(':', '\\:');
  const list = commands.map(({ name, help }) => `    ${quote(`${name}:${colons(help)}`)}`);
  const cases = commands.map(({ name, options, words }) => {
    const specs = options.flatMap(zshOption).map(quote);
    const first = words.length === 0 ? [] : [quote(`1:word:(${words.join(' ')})`)];
    return `    ${quote(name)}) _arguments ${[...specs, ...first].join(' \\\n      ')} ;;`;
  });
  return `#compdef weft
# weft completion zsh > /usr/local/share/zsh/site-functions/_weft
_weft() {
  local -a commands
  commands=(
${list.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT -= 1 ))
  case $command in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _weft ]; then _weft "$@"; else compdef _weft weft; fi
`;
}

function zshOption({ names, help, value, choices }: OptionWords): string[] {
  const text = help.replaceAll(/[[\]:]/g, (char) => `\\${char}`);
  const values = { none: '', any: ':value:_files', choices: `:value:(${choices.join(' ')})` };
  return names.map((name) => `(${names.join(' ')})${name}[${text}]${values[value]}`);
}

function fish(commands: readonly CommandWords[]): string {
  const lines = commands.flatMap(({ name, help, options, words }) => [
    `complete -c weft -n __fish_use_subcommand -a ${fishQuote(name)} -d ${fishQuote(help)}`,
    ...options.map((option) => fishOption(name, option)),
    ...(words.length === 0 ? [] : [`${fishWhen(name)} -a ${fishQuote(words.join(' '))}`]),
  ]);
  return `# weft completion fish > ~/.config/fish/completions/weft.fish
complete -c weft -f
${lines.join('\n')}
`;
}

const fishQuote = (text: string): string => `'${text.replaceAll(/[\\']/g, (char) => `\\${char}`)}'`;
const fishWhen = (name: string): string =>
  `complete -c weft -n ${fishQuote(`__fish_seen_subcommand_from ${name}`)}`;

function fishOption(command: string, { names, help, value, choices }: OptionWords): string {
  const flags = names.map((name) => {
    return name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
  });
  const values = { none: '', any: ' -r -F', choices: ` -x -a ${fishQuote(choices.join(' '))}` };
  return `${fishWhen(command)} ${flags.join(' ')}${values[value]} -d ${fishQuote(help)}`;
}
