/**
 * Whether a listing means what a ruleset wants. nft says the same in more than one way (order of
 * members, a /32 as an address, one flag without its list) and adds what is not meaning: handles,
 * counters, comments.
 */
import type { NftEntry } from '../../linux/nft.ts';
import type { Chain, Rule, Ruleset } from './ruleset.ts';

type Members = Readonly<Record<string, unknown>>;

/**
 * What is not as it should be, a few words each; empty where the listing means the ruleset.
 * @param listed the table's entries, undefined where there is no table
 */
export function differences(wanted: Ruleset, listed: readonly NftEntry[] | undefined): string[] {
  if (wanted.chains.length === 0) {
    return listed === undefined ? [] : ['rules that are not wanted any more'];
  }
  if (listed === undefined) return ['the table was gone'];
  return [
    ...listed.flatMap((entry) => strange(wanted, entry)),
    ...wanted.chains.flatMap((chain) => compareChain(chain, wanted.rules, listed)),
  ];
}

/** The listing without what changes by itself: two equal ones mean the same. */
export function fingerprint(listed: readonly NftEntry[] | undefined): string {
  return JSON.stringify(canonical(listed ?? null));
}

/**
 * Whether a listing is of the very table that a transaction made, whatever its words: whoever sets
 * the table or a rule in it anew gets other handles.
 * @param echoed what `changeNft` answered to `replaceTable`
 */
export function sameHandles(echoed: readonly NftEntry[], listed: readonly NftEntry[]): boolean {
  // The first two only made room for the table.
  const added = echoed.slice(2).map(({ add }) => add as NftEntry);
  const handles = (entries: readonly NftEntry[]) =>
    entries.map((entry) => Object.entries(entry).map(([kind, of]) => [kind, handleOf(of)]));
  return JSON.stringify(handles(added)) === JSON.stringify(handles(listed));
}

function handleOf(members: unknown): unknown {
  return (members as Members).handle;
}

function membersOf(listed: readonly NftEntry[], kind: string): Members[] {
  return listed.flatMap((entry) => (entry[kind] === undefined ? [] : [entry[kind] as Members]));
}

/** What has no place in a table of ours: a sleeping table, foreign chains, sets, ... */
function strange({ chains }: Ruleset, entry: NftEntry): string[] {
  const [kind, value] = Object.entries(entry)[0] ?? [];
  const members = (value ?? {}) as Members;
  if (kind === 'table') return 'flags' in members ? [`the table was ${members.flags}`] : [];
  if (kind === 'rule') return [];
  const ours = kind === 'chain' && chains.some(({ name }) => name === members.name);
  return ours ? [] : [`${kind} ${members.name} was not ours`];
}

function compareChain(chain: Chain, rules: readonly Rule[], listed: readonly NftEntry[]): string[] {
  const found = membersOf(listed, 'chain').find(({ name }) => name === chain.name);
  if (found === undefined) return [`chain ${chain.name} was gone`];
  const { type, hook, priority } = chain;
  const wantedHook = canonicalText([type, hook, priority, 'accept']);
  if (canonicalText([found.type, found.hook, found.prio, found.policy]) !== wantedHook) {
    return [`chain ${chain.name} was hooked elsewhere or drops by default`];
  }
  return compareRules(
    chain.name,
    rules.filter((rule) => rule.chain === chain.name),
    membersOf(listed, 'rule')
      .filter((rule) => rule.chain === chain.name)
      .map(({ expr }) => canonicalText(expr)),
  );
}

function compareRules(chain: string, wanted: readonly Rule[], found: readonly string[]): string[] {
  const texts = wanted.map(({ statements }) => canonicalText(statements));
  if (canonicalText(texts) === canonicalText(found)) return [];
  const missing = wanted.filter((_, index) => !found.includes(texts[index]!));
  const foreign = found.filter((text) => !texts.includes(text)).length;
  const faults = [
    ...missing.map(({ comment }) => `chain ${chain} lacked '${comment}'`),
    ...(foreign > 0 ? [`chain ${chain} had ${foreign} rules of others`] : []),
  ];
  return faults.length > 0 ? faults : [`chain ${chain} had its rules twice or out of order`];
}

function canonicalText(value: unknown): string {
  return JSON.stringify(canonical(value));
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((each) => !isCounter(each)).map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value)
    .filter(([key]) => key !== 'handle')
    .map(([key, member]) => canonicalMember(key, member))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const [key, inner] = members[0] ?? [];
  return key === 'prefix' && members.length === 1
    ? canonicalPrefix(inner)
    : Object.fromEntries(members);
}

function isCounter(statement: unknown): boolean {
  return typeof statement === 'object' && statement !== null && 'counter' in statement;
}

function canonicalMember(key: string, value: unknown): [string, unknown] {
  if (key !== 'masquerade') return [key, canonical(value)];
  const flags = (value as { flags?: unknown } | null)?.flags ?? [];
  const rest = { ...(value as object | null), flags: [flags].flat().sort() };
  return [key, canonical(rest)];
}

function canonicalPrefix(prefix: unknown): unknown {
  const { addr, len } = prefix as { addr?: unknown; len?: unknown };
  return len === 32 ? addr : { prefix };
}
