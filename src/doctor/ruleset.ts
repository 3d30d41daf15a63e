/**
 * What an nftables ruleset does with one packet, as far as that can be told without the kernel:
 * libnftables-json(5). An expression that is not understood makes its rule a perhaps.
 */
import { contains, parseAddress4, parsePrefix4 } from '../wire/address.ts';

/** A new datagram, in the words of nft. */
export interface Datagram {
  readonly saddr: string;
  readonly daddr: string;
  readonly dport: number;
  /** The interface that it comes in on, or goes out by. */
  readonly iifname: string | undefined;
  readonly oifname: string | undefined;
}

/** `rule` is the one that decides, in words. */
export interface Judgement {
  readonly verdict: 'passes' | 'dropped' | 'perhaps';
  readonly rule: string;
}

type Json = { readonly [key: string]: unknown };

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly type?: string;
  readonly policy?: string;
}

interface Rule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly expr: readonly Json[];
}

export interface Ruleset {
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
  readonly sets: ReadonlyMap<string, readonly unknown[]>;
}

/** Reads `nft -j list ruleset`. */
export function readRuleset(text: string): Ruleset {
  const rows = (JSON.parse(text) as { nftables?: Json[] }).nftables ?? [];
  const of = <T>(name: string) => rows.flatMap((row) => (name in row ? [row[name] as T] : []));
  const sets = of<{ family: string; table: string; name: string; elem?: unknown[] }>('set');
  return {
    chains: of<Chain>('chain'),
    rules: of<Rule>('rule'),
    sets: new Map(sets.map((set) => [`${set.family} ${set.table} ${set.name}`, set.elem ?? []])),
  };
}

/** Judges by every base chain of one hook that IPv4 passes; one that drops is enough. */
export function judge(ruleset: Ruleset, hook: string, datagram: Datagram): Judgement {
  let perhaps: Judgement | undefined;
  for (const chain of ruleset.chains) {
    if (chain.hook !== hook || !['ip', 'inet'].includes(chain.family)) continue;
    const result = walk({ ruleset, datagram, doubts: [] }, chain, 0);
    if (result.verdict === 'dropped') return result;
    if (result.verdict === 'perhaps') perhaps ??= result;
  }
  return perhaps ?? { verdict: 'passes', rule: '' };
}

interface Walk {
  readonly ruleset: Ruleset;
  readonly datagram: Datagram;
  /** Rules that may have decided already. */
  readonly doubts: { readonly accepts: boolean; readonly rule: string }[];
}

/** The kernel allows 16 jumps within jumps. */
const DEEPEST = 16;
const PASSES: Judgement = { verdict: 'passes', rule: '' };

function walk(state: Walk, chain: Chain, depth: number): Judgement {
  const end = follow(state, chain, depth);
  const where = `chain ${chain.family} ${chain.table} ${chain.name}`;
  const final = end ?? policyOf(chain, where);
  const doubt = state.doubts.find(({ accepts }) => accepts === (final.verdict === 'dropped'));
  return doubt === undefined ? final : { verdict: 'perhaps', rule: doubt.rule };
}

function policyOf({ policy }: Chain, where: string): Judgement {
  return policy === 'drop' ? { verdict: 'dropped', rule: `policy drop of ${where}` } : PASSES;
}

/** The rules of a chain in their order; undefined where none decides. */
function follow(state: Walk, chain: Chain, depth: number): Judgement | undefined {
  if (depth > DEEPEST) return undefined;
  for (const rule of state.ruleset.rules) {
    const here = rule.family === chain.family && rule.table === chain.table;
    if (!here || rule.chain !== chain.name) continue;
    const match = matches(state, rule);
    if (match === false) continue;
    const where = `rule ${rule.handle} of chain ${rule.family} ${rule.table} ${rule.chain}`;
    const result = verdictOf(state, rule, where, depth);
    if (result === undefined) continue;
    if (result === 'return') {
      if (match) return undefined;
      continue;
    }
    if (match) return result;
    state.doubts.push({ accepts: result.verdict === 'passes', rule: result.rule });
  }
  return undefined;
}

function verdictOf(
  state: Walk,
  rule: Rule,
  where: string,
  depth: number,
): Judgement | 'return' | undefined {
  for (const expression of rule.expr) {
    if ('accept' in expression) return { verdict: 'passes', rule: where };
    if ('drop' in expression || 'reject' in expression) return { verdict: 'dropped', rule: where };
    if ('return' in expression) return 'return';
    const jump = (expression.jump ?? expression.goto) as { target: string } | undefined;
    if (jump === undefined) continue;
    const target = state.ruleset.chains.find(
      ({ family, table, name }) =>
        family === rule.family && table === rule.table && name === jump.target,
    );
    return target === undefined ? undefined : follow(state, target, depth + 1);
  }
  return undefined;
}

/** Expressions that change nothing about whether the rule matches. */
const HARMLESS = ['counter', 'log', 'accept', 'drop', 'reject', 'return', 'jump', 'goto'];

/** Null: perhaps. */
function matches(state: Walk, rule: Rule): boolean | null {
  let all: boolean | null = true;
  for (const expression of rule.expr) {
    if (HARMLESS.some((name) => name in expression)) continue;
    const match = 'match' in expression ? matchOne(state, rule, expression.match as Json) : null;
    if (match === false) return false;
    if (match === null) all = null;
  }
  return all;
}

function matchOne(state: Walk, rule: Rule, { op, left, right }: Json): boolean | null {
  const actual = fieldOf(state.datagram, left as Json);
  if (actual === undefined) return null;
  const found = within(state, rule, actual, right);
  if (found === null) return null;
  if (op === '==' || op === 'in') return found;
  return op === '!=' ? !found : null;
}

function fieldOf(datagram: Datagram, left: Json): string | number | undefined {
  const { payload, meta, ct } = left as Record<string, Json | undefined>;
  if (payload !== undefined) {
    const name = `${payload.protocol} ${payload.field}`;
    if (name === 'udp dport' || name === 'th dport') return datagram.dport;
    if (name === 'ip saddr') return datagram.saddr;
    if (name === 'ip daddr') return datagram.daddr;
    if (name === 'ip protocol') return 'udp';
    // A field of another protocol is not in this packet.
    return ['tcp', 'icmp', 'icmpv6', 'ip6', 'sctp'].includes(`${payload.protocol}`)
      ? 'not there'
      : undefined;
  }
  if (meta?.key === 'l4proto') return 'udp';
  if (meta?.key === 'nfproto') return 'ipv4';
  if (meta?.key === 'iifname' || meta?.key === 'iif') return datagram.iifname ?? '';
  if (meta?.key === 'oifname' || meta?.key === 'oif') return datagram.oifname ?? '';
  return ct?.key === 'state' ? 'new' : undefined;
}

function within(state: Walk, rule: Rule, actual: string | number, wanted: unknown): boolean | null {
  if (actual === 'not there') return false;
  if (Array.isArray(wanted)) {
    const each = wanted.map((item) => within(state, rule, actual, item));
    return each.includes(true) ? true : each.includes(null) ? null : false;
  }
  if (typeof wanted === 'string' && wanted.startsWith('@')) {
    const name = `${rule.family} ${rule.table} ${wanted.slice(1)}`;
    return within(state, rule, actual, state.ruleset.sets.get(name) ?? []);
  }
  if (typeof wanted !== 'object' || wanted === null) return sameValue(actual, wanted);
  const { set, range, prefix, elem } = wanted as Record<string, unknown>;
  if (set !== undefined) return within(state, rule, actual, set);
  if (elem !== undefined) return within(state, rule, actual, (elem as Json).val);
  if (range !== undefined) return inRange(actual, range as unknown[]);
  if (prefix === undefined) return null;
  const { addr, len } = prefix as { addr: string; len: number };
  const outer = parsePrefix4(`${addr}/${len}`);
  const inner = parseAddress4(`${actual}`);
  return outer !== undefined && inner !== undefined && contains(outer, inner);
}

/** nft shows interfaces with a trailing `*` where any ending will do. */
function sameValue(actual: string | number, wanted: unknown): boolean {
  if (typeof wanted === 'string' && wanted.endsWith('*')) {
    return `${actual}`.startsWith(wanted.slice(0, -1));
  }
  return `${actual}` === `${wanted}`;
}

function inRange(actual: string | number, [low, high]: unknown[]): boolean {
  const number = (value: unknown) => parseAddress4(`${value}`) ?? Number(value);
  return number(low) <= number(actual) && number(actual) <= number(high);
}
