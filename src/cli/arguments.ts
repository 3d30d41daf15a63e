import { Command, Option } from 'commander';
import { OPTIONS, type OptionRow } from '../config/options.ts';
import { didYouMean } from '../config/values.ts';
import { environmentName, type GivenOptions, optionName } from '../config.ts';
import { EXIT_HELP } from './exit.ts';

const rows: readonly OptionRow<unknown>[] = Object.values(OPTIONS);

const ENVIRONMENT_HELP = `Environment:
  Each option may come from the environment instead: --metrics-listen is ${environmentName(
    'metrics-listen',
  )}.
  Options marked * are also read under flannel's name, FLANNELD_..., where WEFT_... is not set.
  Flags win over the environment.`;

const EXAMPLES = `Examples:
  weft dataplane                                     beside an agent that writes subnet.env
  weft dataplane --etcd-endpoints http://10.0.0.1:2379,http://10.0.0.2:2379
  weft dataplane --network 10.244.0.0/16 --subnet 10.244.1.0/24 --leases leases.json
      with leases.json like {"10.244.2.0-24": {"PublicIP": "192.0.2.2"}}`;

/** What one command line asks for. */
export interface Asked {
  readonly given: GivenOptions;
  /** Unknown options and stray words, each as a sentence. */
  readonly faults: readonly string[];
}

/** The `dataplane` command with every option of the table; `action` gets what was typed. */
export function dataplaneCommand(action: (asked: Asked) => Promise<void>): Command {
  const command = new Command('dataplane')
    .summary('forward packets between flannel0 and UDP')
    .description(
      "Forwards packets between the TUN device flannel0 and UDP, as flannel's udp backend does.\n" +
        'Runs beside any control agent: it needs a source of leases and its own subnet.',
    )
    // Collected below, so that all faults are told at once.
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText('after', `\n${ENVIRONMENT_HELP}\n\n${EXAMPLES}\n\n${EXIT_HELP}`);
  for (const row of rows) command.addOption(toOption(row));
  command.helpOption('-h, --help', 'show this help');
  return command.action(() => action({ given: givenOf(command), faults: strays(command.args) }));
}

function toOption(row: OptionRow<unknown>): Option {
  const mark = row.flannel === true ? ' *' : '';
  const option = new Option(row.flags, `${row.help}${shownDefault(row)}${mark}`);
  if (row.flags.includes('<')) {
    option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text]);
  }
  return option.helpGroup(`${row.group}:`);
}

function shownDefault({ shown, fallback }: OptionRow<unknown>): string {
  const nothing = fallback === undefined || fallback === false || fallback === '';
  const value = shown ?? (nothing ? '' : String(fallback));
  return value === '' ? '' : ` (default: ${value})`;
}

function givenOf(command: Command): GivenOptions {
  const values = command.opts() as Record<string, string[] | true | undefined>;
  return Object.fromEntries(
    command.options.map((option) => {
      const value = values[option.attributeName()];
      return [option.name(), value === true ? ['true'] : value];
    }),
  );
}

/** Words that no option took. The word after an unknown option is most likely its value. */
function strays(words: readonly string[]): string[] {
  const known = rows.map((row) => `--${optionName(row)}`);
  const faults: string[] = [];
  let afterUnknown = false;
  for (const word of words) {
    const isOption = word.startsWith('-') && word !== '-';
    if (isOption) {
      const name = word.split('=')[0]!;
      faults.push(`${name} is no option of weft dataplane${didYouMean(name, known)}`);
    } else if (!afterUnknown) {
      faults.push(`'${word}' is left over: weft dataplane takes options only`);
    }
    afterUnknown = isOption && !word.includes('=');
  }
  return faults;
}
