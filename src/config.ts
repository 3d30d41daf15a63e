import { type Daemon, OPTIONS, type OptionRow, optionsOf } from './config/options.ts';
import { didYouMean, Refused } from './config/values.ts';
import { formatPrefix4, prefixContains } from './wire/address.ts';

/** Everything that is wrong with the options at once; one sentence each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

type Table = typeof OPTIONS;
export type OptionKey = keyof Table;

/** All options with a value each, those of other commands at their defaults; frozen. */
export type Config = {
  readonly [Key in OptionKey]: Table[Key] extends OptionRow<infer Value> ? Value : never;
};

/** What the command line gave: an option's texts by its name without dashes. */
export type GivenOptions = Readonly<Record<string, readonly string[] | undefined>>;

export function optionName(row: { readonly flags: string }): string {
  return /^--([a-z-]+)/.exec(row.flags)![1]!;
}

export function environmentName(name: string, product = 'WEFT'): string {
  return `${product}_${name.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * Options by precedence: flag, then WEFT_*, then FLANNELD_*, then default. An empty variable counts
 * as not set, as in flannel; variables of other commands' options are passed over, so that one
 * environment file serves them all.
 * @param faults found before, on the command line; told together with those found here
 * @throws ConfigError with every fault
 */
export function readConfig(
  daemon: Daemon,
  given: GivenOptions,
  environment: NodeJS.ProcessEnv,
  faults: readonly string[] = [],
): Config {
  const { config, faults: found } = examineConfig(daemon, given, environment, faults);
  if (found.length > 0) throw new ConfigError(found);
  return config;
}

/**
 * The same without throwing: every fault, and the configuration with defaults in place of what
 * cannot be read, to look further with.
 */
export function examineConfig(
  daemon: Daemon,
  given: GivenOptions,
  environment: NodeJS.ProcessEnv,
  faults: readonly string[] = [],
): { config: Config; faults: string[] } {
  const found = [...faults, ...unknownVariables(environment)];
  const config = Object.fromEntries<unknown>(
    Object.entries(OPTIONS).map(([key, { fallback }]) => [key, fallback]),
  );
  const set = new Set<string>();
  for (const [key, entry] of optionsOf(daemon)) {
    const source = textsOf(entry, given, environment);
    if (source === undefined) continue;
    set.add(key);
    try {
      config[key] = entry.parse(source.texts);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      found.push(`${source.name} ${error.message}`);
    }
  }
  const whole = Object.freeze(config) as unknown as Config;
  found.push(...contradictions(whole, (key) => set.has(key)));
  return { config: whole, faults: found };
}

/** The texts given for an option, and the flag or variable that gave them. */
export function textsOf(
  entry: Pick<OptionRow<unknown>, 'flags' | 'repeat' | 'flannel'>,
  given: GivenOptions,
  environment: NodeJS.ProcessEnv,
): { name: string; texts: readonly string[] } | undefined {
  const name = optionName(entry);
  const split = (values: readonly string[]) =>
    entry.repeat === 'commas' ? values.flatMap((value) => value.split(/\s*,\s*/)) : values;
  const fromFlag = given[name];
  if (fromFlag !== undefined) return { name: `--${name}`, texts: split(fromFlag) };
  for (const product of entry.flannel === true ? ['WEFT', 'FLANNELD'] : ['WEFT']) {
    const variable = environmentName(name, product);
    const value = environment[variable];
    if (value !== undefined && value !== '' && !isServiceLink(variable, value)) {
      return { name: variable, texts: split([value]) };
    }
  }
  return undefined;
}

function contradictions(config: Config, isSet: (key: OptionKey) => boolean): string[] {
  const faults: string[] = [];
  const { network, subnet } = config;
  if (isSet('network') !== isSet('subnet')) {
    faults.push('--network and --subnet go together: give both, or neither for --subnet-file');
  } else if (network !== undefined && subnet !== undefined && !prefixContains(network, subnet)) {
    faults.push(`--subnet ${formatPrefix4(subnet)} is outside --network ${formatPrefix4(network)}`);
  }
  if (subnet !== undefined && subnet.length > 30) faults.push('--subnet is at most a /30');
  if (config.leases !== undefined && isSet('etcdEndpoints')) {
    faults.push('--leases and --etcd-endpoints are two sources of leases: give one');
  }
  if (isSet('etcdCertFile') !== isSet('etcdKeyFile')) {
    faults.push('--etcd-certfile and --etcd-keyfile go together');
  }
  if (isSet('etcdPassword') && isSet('etcdPasswordFile')) {
    faults.push('--etcd-password and --etcd-password-file are two passwords: give one');
  }
  return faults;
}

/** A Kubernetes service called "weft" puts such variables into every pod; they are not for us. */
function isServiceLink(variable: string, value: string): boolean {
  return (
    /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)$/.test(variable) ||
    /^(tcp|udp|sctp):\/\//.test(value)
  );
}

function unknownVariables(environment: NodeJS.ProcessEnv): string[] {
  const known = Object.values(OPTIONS).map((entry) => environmentName(optionName(entry)));
  return Object.entries(environment)
    .filter(([name, value]) => name.startsWith('WEFT_') && !isServiceLink(name, value ?? ''))
    .filter(([name]) => !known.includes(name))
    .map(([name]) => `${name} is no variable of weft${didYouMean(name, known)}`);
}
