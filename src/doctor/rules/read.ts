/** Reads all packet filters of this host: nftables, and what iptables has beside it. */
import { CommandError, type Run } from '../../linux/command.ts';
import type { Rules } from './judge.ts';
import { compileListing, type ListedChain, type Listing, readListing } from './nft/listing.ts';
import { byKey } from './rule.ts';
import { compileSave, readSavedRule } from './xtables/options.ts';
import { readSave, type Saved } from './xtables/save.ts';

/**
 * @throws CommandError where nft is not there or not allowed; SyntaxError where it prints no JSON
 */
export async function readRules(run: Run): Promise<Rules> {
  const text = await run(['nft', '-j', 'list', 'ruleset']);
  const listing = readListing(text);
  const extended = /\{\s*"xt":/.test(text) ? await readSaved(run, 'iptables-nft-save') : undefined;
  const devices = await readDevices(run, listing);
  const chains = compileListing(listing, {
    compat: (table, chain, index) => stepsOf(extended, listing, [table, chain, index]),
    devices: ({ family, table, name }) => devices.get(`${family} ${table} ${name}`),
  });
  const { legacy, unread } = await readLegacy(run);
  const all = [...chains, ...compileSave(legacy ?? new Map())];
  return { chains: all, byKey: byKey(all), unread };
}

/** The same rule in iptables' own words; undefined where the two listings do not fit together. */
function stepsOf(
  saved: Saved | undefined,
  { rules }: Listing,
  [table, name, index]: readonly [table: string, chain: string, index: number],
) {
  const chains = saved?.get(table);
  const chain = chains?.get(name);
  if (chain === undefined || chain.rules.length !== rules.get(`ip ${table} ${name}`)?.length) {
    return undefined;
  }
  return readSavedRule(chain.rules[index]!, (target) => chains!.has(target));
}

async function readSaved(run: Run, program: string): Promise<Saved | undefined> {
  try {
    return readSave(await run([program]));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return undefined;
  }
}

/** Devices of chains: in newer listings; else in what nft prints for people. */
async function readDevices(run: Run, { chains }: Listing) {
  const found = new Map<string, readonly string[]>();
  for (const chain of chains) {
    if (chain.hook !== 'ingress' && chain.hook !== 'egress') continue;
    const names = [chain.dev ?? (await printedDevices(run, chain))].flat();
    if (names.length > 0) found.set(`${chain.family} ${chain.table} ${chain.name}`, names);
  }
  return found;
}

async function printedDevices(run: Run, { family, table, name }: ListedChain): Promise<string[]> {
  try {
    const text = await run(['nft', 'list', 'chain', family, table, name]);
    const line = /\bhook \w+ devices? (?:= )?([^;]*?) priority /.exec(text)?.[1] ?? '';
    return [...line.matchAll(/"([^"]+)"/g)].map((match) => match[1]!);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return [];
  }
}

/** Tables of iptables-legacy; a kernel without it has no such file. */
async function readLegacy(run: Run): Promise<{ legacy?: Saved; unread: string[] }> {
  let tables = '';
  try {
    tables = await run(['cat', '/proc/self/net/ip_tables_names']);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  if (tables.trim() === '') return { unread: [] };
  const legacy = await readSaved(run, 'iptables-legacy-save');
  if (legacy !== undefined) return { legacy, unread: [] };
  const names = tables.trim().split('\n').join(', ');
  return { unread: [`rules of iptables-legacy (${names}) cannot be read`] };
}
