/** What `nft -j list ruleset` says, as chains of steps: libnftables-json(5). */
import { LIMITS, parseJson } from '../../../untrusted/json.ts';
import type { Base, Chain, Rule, Step, Tool } from '../rule.ts';
import type { Truth } from '../truth.ts';
import type { SetOf } from './compare.ts';
import type { Json } from './field.ts';
import { readStatement } from './statement.ts';

/** What the listing of one version leaves out, and where else it is found. */
export interface Beside {
  /** Steps of the rule at that place of an iptables chain; undefined where they are not known. */
  readonly compat: (table: string, chain: string, index: number) => readonly Step[] | undefined;
  /** Devices of an ingress or egress chain. */
  readonly devices: (chain: ListedChain) => readonly string[] | undefined;
}

export interface ListedChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly type?: string;
  readonly prio?: number;
  readonly policy?: string;
  /** Not told by nft before 1.0.7. */
  readonly dev?: string | readonly string[];
}

interface ListedRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly expr?: readonly Json[];
}

interface ListedSet {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly elem?: readonly unknown[];
}

export interface Listing {
  readonly chains: readonly ListedChain[];
  readonly rules: ReadonlyMap<string, readonly ListedRule[]>;
  readonly sets: readonly ListedSet[];
  readonly dormant: ReadonlyMap<string, Truth>;
}

/** @throws SyntaxError where nft printed no JSON */
export function readListing(text: string): Listing {
  const parsed = parseJson(text, LIMITS.program);
  if (!parsed.ok) throw new SyntaxError(parsed.reason);
  const rows = (parsed.value as { nftables?: Json[] }).nftables ?? [];
  const of = <T>(name: string) => rows.flatMap((row) => (name in row ? [row[name] as T] : []));
  const rules = new Map<string, ListedRule[]>();
  for (const rule of of<ListedRule>('rule')) {
    const key = `${rule.family} ${rule.table} ${rule.chain}`;
    const list = rules.get(key);
    if (list === undefined) rules.set(key, [rule]);
    else list.push(rule);
  }
  const tables = of<{ family: string; name: string; flags?: unknown }>('table');
  return {
    chains: of<ListedChain>('chain'),
    rules,
    sets: [...of<ListedSet>('set'), ...of<ListedSet>('map')],
    dormant: new Map(tables.map((row) => [`${row.family} ${row.name}`, isDormant(row.flags)])),
  };
}

/** nft 1.0.6 and older print a flag as whatever its memory holds, so a strange one is a perhaps. */
function isDormant(flags: unknown): Truth {
  if (flags === undefined) return false;
  const words = [flags].flat();
  if (words.includes('dormant')) return true;
  return words.every((word) => word === 'owner' || word === 'persist') ? false : null;
}

/** Chains of IPv4's hooks and of devices, ready to be walked. */
export function compileListing(listing: Listing, beside: Beside): Chain[] {
  const sets = new Map(
    listing.sets.map(({ family, table, name, elem }) => [`${family} ${table} ${name}`, elem ?? []]),
  );
  for (const name of changedByRules(listing)) sets.delete(name);
  return listing.chains.map((chain) => {
    const { family, table, name } = chain;
    const setOf: SetOf = (set) => sets.get(`${family} ${table} ${set}`);
    const listed = listing.rules.get(`${family} ${table} ${name}`) ?? [];
    const rules = listed.map((rule, index) => compileRule(rule, index, setOf, beside));
    const managed = family === 'ip' && listed.some(hasExtension);
    const tool: Tool = managed ? 'iptables-nft' : 'nft';
    const base = baseOf(chain, listing.dormant.get(`${family} ${table}`) ?? false, beside);
    return { tool, family, table, name, rules, ...(base === undefined ? {} : { base }) };
  });
}

const hasExtension = ({ expr = [] }: ListedRule): boolean => expr.some((entry) => 'xt' in entry);

function compileRule(rule: ListedRule, index: number, setOf: SetOf, beside: Beside): Rule {
  const { family, table, chain, handle, expr = [] } = rule;
  const known = hasExtension(rule) && family === 'ip';
  const compat = known ? beside.compat(table, chain, index) : undefined;
  return {
    name: `handle ${handle}`,
    steps: compat ?? expr.map((entry) => readStatement(entry, setOf)),
  };
}

function baseOf(chain: ListedChain, dormant: Truth, beside: Beside): Base | undefined {
  const { hook, type = 'filter', prio = 0, policy } = chain;
  if (hook === undefined) return undefined;
  const onDevice = hook === 'ingress' || hook === 'egress';
  const devices = onDevice ? beside.devices(chain) : undefined;
  const base = { hook, type, priority: prio, drops: policy === 'drop', dormant };
  return devices === undefined ? base : { ...base, devices };
}

/** Sets that packets write to: what is in one when a packet comes is not known. */
function changedByRules({ rules }: Listing): Set<string> {
  const names = new Set<string>();
  for (const { family, table, expr = [] } of [...rules.values()].flat()) {
    for (const { set, map } of expr) {
      const target = ((set ?? map) as Json | undefined)?.[set === undefined ? 'map' : 'set'];
      if (typeof target === 'string') names.add(`${family} ${table} ${target.replace(/^@/, '')}`);
    }
  }
  return names;
}
