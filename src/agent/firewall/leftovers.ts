/**
 * What else on the host touches the overlay's packets: chains that flannel's iptables mode left in
 * the tables of iptables-nft, and chains of others that drop by default.
 *
 * Of flannel's chains only FLANNEL-POSTRTG is removed, with the rules that jump to it: it would go
 * on masquerading for a network of the past, or where --ip-masq is off now. FLANNEL-FWD stays,
 * because it only accepts, and may be all that holds open a forward chain that drops by default
 * (Docker's). A flanneld that still runs for another network puts its chain back within its own
 * --iptables-resync; we remove it once, at the start, so nobody fights.
 */

import type { Run } from '../../linux/command.ts';
import { changeNft, listChain, listChains, type NftEntry } from '../../linux/nft.ts';
import { formatPrefix4, type Prefix4 } from '../../wire/address.ts';
import { TABLE } from './ruleset.ts';

const FAMILY = 'ip';
const NAT_CHAIN = 'FLANNEL-POSTRTG';
const FORWARD_CHAIN = 'FLANNEL-FWD';

interface ChainRow {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

export interface Leftovers {
  /** What was done, one sentence each. */
  readonly removed: readonly string[];
  /** What an operator should know or do, one sentence each. */
  readonly advice: readonly string[];
}

/**
 * Looks once at all chains of the host, and removes flannel's masquerading.
 * @param network of the accept rules that have to hold; undefined where none are wanted
 * @throws NftError
 */
export async function clearLeftovers(run: Run, network: Prefix4 | undefined): Promise<Leftovers> {
  const entries = await listChains(run);
  const chains = entries.flatMap(({ chain }) => (chain === undefined ? [] : [chain as ChainRow]));
  const removed: string[] = [];
  const advice: string[] = [];
  for (const { family, table, name } of chains) {
    if (family !== FAMILY) continue;
    if (name === NAT_CHAIN) removed.push(await removeChain(run, table, chains));
    if (name === FORWARD_CHAIN) advice.push(aboutForwardChain(table));
  }
  if (network !== undefined)
    advice.push(...droppers(chains).map((row) => aboutDropper(row, network)));
  return { removed, advice };
}

async function removeChain(run: Run, table: string, chains: readonly ChainRow[]): Promise<string> {
  const inTable = { family: FAMILY, table };
  const jumps: NftEntry[] = [];
  for (const { name } of chains.filter((row) => row.family === FAMILY && row.table === table)) {
    const rules = (await listChain(run, [FAMILY, table, name])) ?? [];
    for (const handle of rules.flatMap(jumpsTo)) {
      jumps.push({ delete: { rule: { ...inTable, chain: name, handle } } });
    }
  }
  const chain = { chain: { ...inTable, name: NAT_CHAIN } };
  await changeNft(run, [...jumps, { flush: chain }, { delete: chain }]);
  const whose = "which flannel's iptables mode left";
  return `removed chain ${NAT_CHAIN} of table ${FAMILY} ${table}, ${whose}`;
}

/** The handle of a rule that jumps or goes to flannel's chain. */
function jumpsTo(entry: NftEntry): number[] {
  const rule = entry.rule as { handle?: number; expr?: readonly NftEntry[] } | undefined;
  const targets = (rule?.expr ?? []).map(
    ({ jump, goto }) => (jump ?? goto) as { target?: string } | undefined,
  );
  const found = targets.some((target) => target?.target === NAT_CHAIN);
  return found && rule?.handle !== undefined ? [rule.handle] : [];
}

function aboutForwardChain(table: string): string {
  const jump = `FORWARD -m comment --comment 'flanneld forward' -j ${FORWARD_CHAIN}`;
  return (
    `chain ${FORWARD_CHAIN} of table ${FAMILY} ${table} is left from flannel's iptables mode; it ` +
    'only accepts and may stay. To remove it: ' +
    `iptables -D ${jump}; iptables -F ${FORWARD_CHAIN}; iptables -X ${FORWARD_CHAIN}`
  );
}

/** Forward chains of others that drop by default: what a table of ours accepts is dropped there. */
function droppers(chains: readonly ChainRow[]): ChainRow[] {
  return chains.filter(
    ({ family, table, hook, policy }) =>
      hook === 'forward' &&
      policy === 'drop' &&
      (family === 'inet' || (family === FAMILY && table !== TABLE)),
  );
}

function aboutDropper({ family, table, name }: ChainRow, network: Prefix4): string {
  const insert = (field: string) =>
    `nft insert rule ${family} ${table} ${name} ip ${field} ${formatPrefix4(network)} accept`;
  return (
    `chain ${name} of table ${family} ${table} drops what it does not accept itself, and no rule ` +
    "of ours can lift that. If the overlay's packets stop there: " +
    `${insert('saddr')}; ${insert('daddr')}`
  );
}
