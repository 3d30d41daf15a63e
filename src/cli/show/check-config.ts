import { Argument, Command } from 'commander';
import { createSource } from '../../agent/lease-source.ts';
import { parseSubnetFile } from '../../agent/node/subnet-file.ts';
import { describeOptions } from '../../config/describe.ts';
import { DAEMONS, type Daemon, OPTIONS, type OptionRow, optionsOf } from '../../config/options.ts';
import { type Config, examineConfig, type GivenOptions, optionName } from '../../config.ts';
import { faultsOf, readLeaseList } from '../../lease/file.ts';
import { type NetworkReading, parseNetworkConfig } from '../../lease/network.ts';
import { SourceOptionsError } from '../../lease/source.ts';
import { createLog } from '../../log.ts';
import { FileError, readFileWithin } from '../../untrusted/file.ts';
import { LIMITS } from '../../untrusted/json.ts';
import { firstFaults, quoted } from '../../untrusted/shown.ts';
import { givenOf, type MakeCommand, strays, toOption } from '../arguments.ts';
import { EXIT } from '../exit.ts';
import { isTerminal, print, printJson } from '../format/print.ts';
import { type Paint, paintFor } from '../format/terminal.ts';
import { type Look, outputOption } from './asking.ts';

const DESCRIPTION = `Reads options and environment as the long-lived command would, and the files
they name, and tells everything that is wrong at once. Nothing is started or changed.`;

const HELP = `
Examples:
  weft check-config dataplane --leases /etc/weft/leases.json --network 10.244.0.0/16 ...
  weft check-config run --etcd-endpoints http://10.0.0.1:2379 --network-config
  weft check-config run --network-config net-conf.json

Exit codes:
  0  nothing is wrong
  1  a mistake of weft's own; please report it
  2  something is wrong; each fault has a line of its own`;

/** What the check says; also its JSON. */
interface Verdict {
  readonly command: Daemon;
  readonly faults: readonly string[];
  /** What is no fault, but worth knowing. */
  readonly notes: readonly string[];
  readonly options: ReturnType<typeof describeOptions>;
}

/** The network config of the cluster: not looked at, that of a file, or that in etcd. */
type NetworkWish = undefined | string | true;

export const checkConfigCommand: MakeCommand = (environment, end) => {
  const rows: OptionRow<unknown>[] = Object.values(OPTIONS);
  const command = new Command('check-config')
    .summary('every fault of a configuration at once')
    .description(DESCRIPTION)
    .addArgument(new Argument('[command]', 'whose options').choices(DAEMONS).default('run'))
    .allowUnknownOption()
    .allowExcessArguments()
    .option('--network-config [file]', "the cluster's network config too: of a file, or in etcd")
    .addOption(outputOption())
    .addHelpText('after', HELP)
    .helpOption('-h, --help', 'show this help');
  for (const row of rows) command.addOption(toOption(row));
  return command.action(async (daemon: Daemon) => {
    const { output, networkConfig } = command.opts<{
      output: Look['output'];
      networkConfig: NetworkWish;
    }>();
    const { output: _, 'network-config': __, ...given } = givenOf(command);
    const foreign = notOf(daemon, given);
    const words = command.args[0] === daemon ? command.args.slice(1) : command.args;
    const { config, faults } = examineConfig(daemon, given, environment, [
      ...foreign,
      ...strays(daemon, rows, words),
    ]);
    const options = describeOptions(daemon, given, environment);
    const found = await lookFurther(daemon, config, networkConfig);
    const verdict = { command: daemon, options, ...found, faults: [...faults, ...found.faults] };
    const paint = paintFor(isTerminal(), environment);
    if (output === 'json') await printJson(verdict, 2);
    else await print(render(verdict, paint));
    end(verdict.faults.length === 0 ? EXIT.ordered : EXIT.configuration);
  });
};

/** Options that other commands take, and this one does not. */
function notOf(daemon: Daemon, given: GivenOptions): string[] {
  const own = new Set(optionsOf(daemon).map(([, row]) => optionName(row)));
  const names = Object.keys(given).filter((name) => given[name] !== undefined && !own.has(name));
  return names.map((name) => `--${name} is no option of weft ${daemon}`);
}

function render({ command, faults, notes, options }: Verdict, paint: Paint): string[] {
  const set = options.filter(({ origin }) => origin !== 'default');
  const said = set.map(({ name, value, origin, secret }) => {
    return paint('quiet', `  ${name} = ${secret ? '(secret)' : value} (${origin})`);
  });
  const verdict =
    faults.length === 0
      ? paint('good', `weft ${command}: nothing is wrong`)
      : paint('bad', `weft ${command}: ${faults.length} fault${faults.length === 1 ? '' : 's'}`);
  const found = [...faults, ...notes].map((sentence) => `  ${sentence}`);
  return [verdict, ...found, ...said];
}

interface Found {
  readonly faults: string[];
  readonly notes: string[];
}

/** What options alone do not show: the files they name, and the cluster's network config. */
async function lookFurther(daemon: Daemon, config: Config, wish: NetworkWish): Promise<Found> {
  const found: Found = { faults: [], notes: [] };
  if (daemon === 'dataplane' && config.network === undefined) checkSubnetFile(config, found);
  if (config.leases !== undefined) checkLeases(config.leases, found);
  if (typeof wish === 'string') {
    const bytes = read('--network-config', wish, LIMITS.networkConfig.bytes, found);
    if (bytes === undefined) return found;
    const parsed = parseNetworkConfig(bytes.toString());
    if (!parsed.ok) found.faults.push(...parsed.faults.map((fault) => `${wish}: ${fault}`));
    else found.notes.push(`${wish}: network config is fine, backend ${parsed.config.backend.type}`);
    return found;
  }
  await checkSource(config, wish === true, found);
  return found;
}

function read(option: string, path: string, most: number, found: Found): Buffer | undefined {
  try {
    return readFileWithin(path, most);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    found.faults.push(`${option} ${path} cannot be read: ${error.message}`);
    return undefined;
  }
}

function checkSubnetFile({ subnetFile }: Config, found: Found): void {
  let bytes: Buffer;
  try {
    bytes = readFileWithin(subnetFile, LIMITS.subnetFileBytes);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    const { code, message } = error;
    if (code !== 'ENOENT') found.faults.push(`--subnet-file ${subnetFile}: ${message}`);
    else found.notes.push(`${subnetFile} is not there yet; weft dataplane waits for it`);
    return;
  }
  const reading = parseSubnetFile(bytes.toString());
  if (!reading.ok) found.faults.push(...reading.faults.map((fault) => `${subnetFile}: ${fault}`));
}

/** So many bad leases of a file are named; the file of somebody's format has nothing else. */
const LEASES_NAMED = 100;

/** One bad lease does not keep weft from starting, but nobody wrote it on purpose. */
function checkLeases(path: string, found: Found): void {
  const bytes = read('--leases', path, LIMITS.leaseFile.bytes, found);
  if (bytes === undefined) return;
  const list = readLeaseList(bytes);
  if ('fault' in list) {
    found.faults.push(`--leases ${path}: ${list.fault}`);
    return;
  }
  const faults = list.entries.flatMap((entry) =>
    faultsOf(entry).map((fault) => `--leases ${path}: ${quoted(entry.key)}: ${fault}`),
  );
  found.faults.push(...firstFaults(faults, LEASES_NAMED));
  const repeated = list.repeated.map((key) => {
    return `--leases ${path}: ${quoted(key)} stands there more than once: the last one counts`;
  });
  found.notes.push(...firstFaults(repeated, LEASES_NAMED));
}

/** Certificates, passwords and addresses of etcd; and what etcd says, where that was asked for. */
async function checkSource(config: Config, ask: boolean, found: Found): Promise<void> {
  try {
    const source = createSource(config, createLog({ level: 'silent', format: 'json' }).log);
    if (!ask) return;
    if (source.config === undefined) {
      found.faults.push('--network-config: a file of leases has no network config; give its file');
      return;
    }
    tellReading(await source.config(), source.name, found);
  } catch (error) {
    if (!(error instanceof SourceOptionsError)) throw error;
    found.faults.push(...error.faults);
  }
}

function tellReading(reading: NetworkReading, name: string, found: Found): void {
  switch (reading.kind) {
    case 'config':
      found.notes.push(`${name}: network config is fine, backend ${reading.config.backend.type}`);
      break;
    case 'missing':
      found.faults.push(`${reading.where}: there is no network config; etcdctl put it there`);
      break;
    case 'bad':
      found.faults.push(...reading.faults.map((fault) => `${reading.where}: ${fault}`));
      break;
    case 'unreachable':
      found.faults.push(`${name} cannot be reached: ${reading.reason}`);
  }
}
