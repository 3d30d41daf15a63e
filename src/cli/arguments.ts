import { Command, Option } from 'commander';
import { describeOptions } from '../config/describe.ts';
import { DAEMONS, type Daemon, type OptionRow, optionsOf } from '../config/options.ts';
import { didYouMean } from '../config/values.ts';
import { environmentName, type GivenOptions, optionName, readConfig } from '../config.ts';
import type { Order } from './daemon.ts';
import { EXIT_HELP } from './exit.ts';
import { type ReadCommandLine, readGoFlags } from './go-flags.ts';

/**
 * Makes one command of `weft`. Its action leaves the exit code with `end`; what it throws is told
 * by `explainEnd`.
 */
export type MakeCommand = (
  environment: NodeJS.ProcessEnv,
  end: (exitCode: number) => void,
  /** What reading the line in Go's syntax found, for the commands that take flannel's flags. */
  line: ReadCommandLine,
) => Command;

/** What the help of a long-lived command says. */
export interface DaemonHelp {
  readonly name: Daemon;
  readonly summary: string;
  readonly description: string;
  readonly examples: string;
}

/** The end of the help of long-lived commands. */
export const ENVIRONMENT_HELP = `Environment:
  Each option may come from the environment instead: --metrics-listen is ${environmentName(
    'metrics-listen',
  )}.
  Options marked * are also read under flannel's name, FLANNELD_..., where WEFT_... is not set.
  Flags win over the environment.`;

/**
 * A command with every option that the table gives it; `live` runs it to its exit code, and is
 * handed the options in words too, for the API.
 */
export function daemonCommand(
  { name, summary, description, examples }: DaemonHelp,
  live: (order: Order) => Promise<number>,
): MakeCommand {
  return (environment, end, { faults, warnings }) => {
    const command = new Command(name)
      .summary(summary)
      .description(description)
      .addHelpText('after', `\n${ENVIRONMENT_HELP}\n\nExamples:\n${examples}\n\n${EXIT_HELP}`);
    const rows = optionsOf(name).map(([, row]) => row);
    for (const row of rows) command.addOption(toOption(row));
    command.helpOption('-h, --help', 'show this help');
    return command.action(async () => {
      const given = givenOf(command);
      const config = readConfig(name, given, environment, faults);
      const options = describeOptions(name, given, environment);
      end(await live({ command: name, config, options, warnings }));
    });
  };
}

/** A row of the table as commander takes it; all its texts are kept, in their order. */
export function toOption(row: OptionRow<unknown>): Option {
  const mark = row.flannel === true ? ' *' : '';
  // Go's flag package takes `--switch=false`, which is the only way to turn one off.
  const flags = row.flags.includes('<') ? row.flags : `${row.flags} [bool]`;
  const option = new Option(flags, `${row.help}${shownDefault(row)}${mark}`);
  option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text]);
  return option.helpGroup(`${row.group}:`);
}

function shownDefault({ shown, fallback }: OptionRow<unknown>): string {
  const nothing = fallback === undefined || fallback === false || fallback === '';
  const value = shown ?? (nothing ? '' : String(fallback));
  return value === '' ? '' : ` (default: ${value})`;
}

/** What the command line gave for each option of the command. */
export function givenOf(command: Command): GivenOptions {
  const values = command.opts() as Record<string, string[] | true | undefined>;
  return Object.fromEntries(
    command.options.map((option) => {
      const value = values[option.attributeName()];
      return [option.name(), value === true ? ['true'] : value];
    }),
  );
}

/** Words that no option took. The word after an unknown option is most likely its value. */
export function strays(
  daemon: Daemon,
  rows: readonly OptionRow<unknown>[],
  words: readonly string[],
): string[] {
  const known = rows.map((row) => `--${optionName(row)}`);
  const faults: string[] = [];
  let afterUnknown = false;
  for (const word of words) {
    const isOption = word.startsWith('-') && word !== '-';
    if (isOption) {
      const name = word.split('=')[0]!;
      faults.push(`${name} is no option of weft ${daemon}${didYouMean(name, known)}`);
    } else if (!afterUnknown) {
      faults.push(`'${word}' is left over: weft ${daemon} takes options only`);
    }
    afterUnknown = isOption && !word.includes('=');
  }
  return faults;
}

/**
 * Brings the words of a daemon's command line from Go's syntax into commander's; those of other
 * commands stay as they are.
 */
export function readCommandLine(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): ReadCommandLine {
  const [command, ...rest] = words;
  const daemon = DAEMONS.find((name) => name === command);
  if (daemon === undefined) return { words, warnings: [], faults: [], versionAsked: false };
  const known = optionsOf(daemon).map(([, row]) => ({
    name: optionName(row),
    takesValue: row.flags.includes('<'),
  }));
  const line = readGoFlags({ command: daemon, words: rest, known, environment });
  return { ...line, words: [daemon, ...line.words] };
}
