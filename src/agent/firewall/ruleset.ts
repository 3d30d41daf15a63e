/**
 * The rules that pods need of the kernel, as data. Their meaning is that of flannel's iptables
 * mode; table and chains bear the names of its nftables mode, whose order of rules leaves the last
 * one unreachable and whose mark is compared without a mask. The overlay is Network, the whole of
 * it; the subnet is this node's part.
 */
import type { NftEntry } from '../../linux/nft.ts';
import { formatAddress4, formatPrefix4, type Prefix4 } from '../../wire/address.ts';

export interface FirewallWish {
  readonly network: Prefix4;
  readonly subnet: Prefix4;
  /** --ip-masq: what leaves the overlay or enters it from here goes as this node. */
  readonly masquerade: boolean;
  /** Source ports at random, so that two flows at once do not race for one. */
  readonly fullyRandom: boolean;
  /** --iptables-forward-rules: accept what is forwarded from and to the overlay. */
  readonly forwardRules: boolean;
  /** --notrack: the tunnel's own datagrams, which then are nobody's flow; null to leave them be. */
  readonly notrack: TunnelEnd | null;
}

/** This node's end of the tunnel: a host-order uint32, and the UDP port that every node has. */
export interface TunnelEnd {
  readonly address: number;
  readonly port: number;
}

export const FAMILY = 'ip';
export const TABLE = 'flannel-ipv4';

export interface Chain {
  readonly name: string;
  readonly type: 'nat' | 'filter';
  readonly hook: string;
  /** As a number: nft lists it so. */
  readonly priority: number;
}

export interface Rule {
  readonly chain: string;
  /** Shown by `nft list`, for who looks at night; not part of the meaning. */
  readonly comment: string;
  /** Statements of libnftables-json(5). */
  readonly statements: readonly unknown[];
}

/** What the table holds, in order; without chains there is no table. */
export interface Ruleset {
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
}

/** srcnat and filter of nft(8), table "standard priority names". */
const POSTROUTING: Chain = { name: 'postrtg', type: 'nat', hook: 'postrouting', priority: 100 };
/** Before conntrack's own hooks, which are at -200 (enum nf_ip_hook_priorities). */
const RAW = { type: 'filter', priority: -300 } as const;
const NOTRACK_IN: Chain = { name: 'notrackin', hook: 'prerouting', ...RAW };
const NOTRACK_OUT: Chain = { name: 'notrackout', hook: 'output', ...RAW };
const FORWARD: Chain = { name: 'forward', type: 'filter', hook: 'forward', priority: 0 };

/** kube-proxy's default --iptables-masquerade-bit, 14: it masquerades these packets itself. */
const MASQUERADED_MARK = 0x4000;
const MULTICAST: Prefix4 = { network: 0xe0000000, length: 4 };

export function desiredRuleset(wish: FirewallWish): Ruleset {
  const parts = [
    ...(wish.masquerade ? [{ chain: POSTROUTING, rules: masqueradeRules(wish) }] : []),
    ...(wish.forwardRules ? [{ chain: FORWARD, rules: forwardRules(wish) }] : []),
    ...(wish.notrack === null ? [] : notrackParts(wish.notrack)),
  ];
  return {
    chains: parts.map(({ chain }) => chain),
    rules: parts.flatMap(({ rules }) => rules),
  };
}

/** Packets whose source and destination stay as they are first; what is left is masqueraded. */
function masqueradeRules({ network, subnet, fullyRandom }: FirewallWish): Rule[] {
  const masquerade = { masquerade: fullyRandom ? { flags: 'fully-random' } : null };
  const row = (comment: string, ...statements: unknown[]): Rule => ({
    chain: POSTROUTING.name,
    comment,
    statements,
  });
  return [
    row('kube-proxy masquerades these', hasMark(MASQUERADED_MARK), RETURN),
    row('our pods to the overlay', from(subnet), to(network), RETURN),
    row('the overlay to our pods', from(network), to(subnet), RETURN),
    row('others to our pods: seen as they are', not(from(network)), to(subnet), RETURN),
    row('the overlay to others: as this node', from(network), not(to(MULTICAST)), masquerade),
    row('others to the overlay: as this node', not(from(network)), to(network), masquerade),
  ];
}

function forwardRules({ network }: FirewallWish): Rule[] {
  const row = (comment: string, match: Match): Rule => ({
    chain: FORWARD.name,
    comment,
    statements: [match, { accept: null }],
  });
  return [row('from the overlay', from(network)), row('to the overlay', to(network))];
}

/** Only between us and other nodes: what pods or routed hosts send to that port stays tracked. */
function notrackParts({ address, port }: TunnelEnd): { chain: Chain; rules: Rule[] }[] {
  const own: Prefix4 = { network: address, length: 32 };
  const left = { payload: { protocol: 'udp', field: 'dport' } };
  const toPort: Match = { match: { op: '==', left, right: port } };
  const part = (chain: Chain, comment: string, end: Match) => {
    const statements = [end, toPort, { notrack: null }];
    return { chain, rules: [{ chain: chain.name, comment, statements }] };
  };
  return [
    part(NOTRACK_IN, 'the tunnel to us', to(own)),
    part(NOTRACK_OUT, 'the tunnel from us', from(own)),
  ];
}

interface Match {
  readonly match: { readonly op: '==' | '!='; readonly left: unknown; readonly right: unknown };
}

const RETURN = { return: null };

const from = (prefix: Prefix4): Match => field('saddr', prefix);
const to = (prefix: Prefix4): Match => field('daddr', prefix);
const not = ({ match }: Match): Match => ({ match: { ...match, op: '!=' } });

function field(name: 'saddr' | 'daddr', { network, length }: Prefix4): Match {
  const right = { prefix: { addr: formatAddress4(network), len: length } };
  return { match: { op: '==', left: { payload: { protocol: 'ip', field: name } }, right } };
}

/** The one bit, whatever other bits others have set. */
function hasMark(bit: number): Match {
  return { match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, bit] }, right: bit } };
}

/**
 * One transaction that puts exactly this ruleset in the table's place, whatever was there: packets
 * meet either all of the old rules or all of the new ones. `add` in front of `delete` because to
 * delete what is not there is an error (nft(8)).
 */
export function replaceTable({ chains, rules }: Ruleset): NftEntry[] {
  const table = { table: { family: FAMILY, name: TABLE } };
  const inTable = { family: FAMILY, table: TABLE };
  const clear = [{ add: table }, { delete: table }];
  if (chains.length === 0) return clear;
  return [
    ...clear,
    { add: table },
    ...chains.map(({ name, type, hook, priority }) => ({
      add: { chain: { ...inTable, name, type, hook, prio: priority, policy: 'accept' } },
    })),
    ...rules.map(({ chain, comment, statements }) => ({
      add: { rule: { ...inTable, chain, comment, expr: statements } },
    })),
  ];
}

/** The ruleset in short, for the log. */
export function describeWish(wish: FirewallWish): string {
  const parts = [
    ...(wish.masquerade ? [`masquerade${wish.fullyRandom ? ' fully-random' : ''}`] : []),
    ...(wish.forwardRules ? ['forward'] : []),
    ...(wish.notrack === null ? [] : ['notrack']),
  ];
  const rules = parts.length === 0 ? 'no rules' : `rules ${parts.join(' and ')}`;
  return `${rules} for ${formatPrefix4(wish.subnet)} of ${formatPrefix4(wish.network)}`;
}
