/** Expressions and statements of libnftables-json(5) as steps over a packet. */

import type { Packet } from '../packet.ts';
import { decided, type Effect, matched, type Step, type Verdict } from '../rule.ts';
import { type Compared, compare, isElement, readKey, type SetOf } from './compare.ts';
import { type Json, readNumber } from './field.ts';

/** They change nothing about where the packet goes. */
const HARMLESS = new Set([
  'counter',
  'log',
  'last',
  'comment',
  'continue',
  'ct helper',
  'ct timeout',
  'ct expectation',
]);
/** What ends a rule for some packets and not for others, by counts that nobody here keeps. */
const BY_COUNT = new Set(['limit', 'quota', 'ct count', 'meter', 'set', 'map', 'synproxy']);
const NAT = new Set(['dnat', 'snat', 'masquerade', 'redirect']);

/** One entry of a rule's `expr`. */
export function readStatement(entry: Json, setOf: SetOf): Step {
  const [name = '', value] = Object.entries(entry)[0] ?? [];
  const fixed = readVerdict(entry);
  if (fixed !== undefined) return () => decided(fixed);
  if (HARMLESS.has(name)) return () => matched(true, name);
  if (BY_COUNT.has(name)) return () => matched(null, name);
  if (NAT.has(name)) return (packet) => translate(packet, name, (value ?? {}) as Json);
  switch (name) {
    case 'match':
      return (packet) => {
        const { truth, why }: Compared = compare(packet, value as Json, setOf);
        return matched(truth, why);
      };
    case 'vmap':
      return (packet) => lookUpVerdict(packet, value as Json, setOf);
    case 'mangle':
      return (packet) => mangle(packet, value as Json);
    case 'notrack':
      return (packet) => ({ kind: 'change', packet: leaveUntracked(packet) });
    case 'dup':
      return (packet) => ({ kind: 'change', packet: { ...packet, odd: true } });
    case 'xt':
      return readCompat(value as Json | null);
    default:
      return () => ({ kind: 'unclear', why: name });
  }
}

function readVerdict(entry: unknown): Verdict | undefined {
  const [kind = '', value] = Object.entries((entry ?? {}) as Json)[0] ?? [];
  if (kind === 'accept' || kind === 'drop' || kind === 'return') return { kind };
  if (kind === 'reject') return { kind: 'drop' };
  if (kind === 'continue') return { kind };
  if (kind !== 'jump' && kind !== 'goto') return undefined;
  return { kind, target: `${(value as Json).target}` };
}

/** Only before conntrack has looked at the packet (nft_notrack_eval). */
export function leaveUntracked(packet: Packet): Packet {
  if (packet.ct === 'invalid') return { ...packet, notrack: true };
  return packet.ct === undefined ? { ...packet, notrack: undefined } : packet;
}

/**
 * A translation ends the chain. It is made for the first packet of a flow, and kept for the others.
 * @param to with `addr` and `port` where they are constants
 */
export function translate(packet: Packet, name: string, to: Json): Effect {
  const port = to.port === undefined ? undefined : readNumber('number', to.port);
  const address = to.addr === undefined ? undefined : readNumber('address', to.addr);
  const plain = name === 'dnat' && address !== undefined && (to.port === undefined || port);
  const dport = to.port === undefined ? packet.dport : port;
  const after: Packet =
    name === 'dnat' || name === 'redirect'
      ? { ...packet, daddr: plain ? address : undefined, dport: plain ? dport : undefined }
      : { ...packet, saddr: undefined, sport: undefined };
  return { kind: 'translation', packet: after };
}

function lookUpVerdict(packet: Packet, { key, data }: Json, setOf: SetOf): Effect {
  const { fields, absent, why } = readKey(packet, key);
  if (absent) return matched(false, why);
  const rows = elementsOf(data, setOf);
  if (rows === undefined) return { kind: 'unclear', why: `map ${data}` };
  const perhaps: Verdict[] = [];
  let otherwise: Verdict | undefined;
  for (const [element, verdict] of rows) {
    const truth = fields === undefined ? null : isElement(fields, element);
    if (truth === false) continue;
    const found = readVerdict(verdict);
    if (found === undefined) return { kind: 'unclear', why: JSON.stringify(verdict) };
    if (element === '*') otherwise = found;
    else if (truth === true) return decided(found);
    else perhaps.push(found);
  }
  // Without an element the rule ends, and the next one has its turn.
  const among = [...perhaps, otherwise ?? ({ kind: 'none' } as const)];
  return { kind: 'verdict', among, why: why || JSON.stringify(key) };
}

function elementsOf(data: unknown, setOf: SetOf): readonly [unknown, unknown][] | undefined {
  const rows = typeof data === 'string' ? setOf(data.slice(1)) : (data as Json | null)?.set;
  return rows as readonly [unknown, unknown][] | undefined;
}

/** Keys of `mangle` that no later rule, and no receiver, goes by here. */
const IDLE = new Set([
  ...['meta nftrace', 'meta priority', 'meta secmark', 'ct label', 'ct event', 'ct helper'],
  ...['ct zone', 'ip dscp', 'ip ecn'],
]);

function mangle(packet: Packet, { key, value }: Json): Effect {
  const [room = '', of] = Object.entries((key ?? {}) as Json)[0] ?? [];
  const { key: member, protocol, field } = (of ?? {}) as Json;
  const name = room === 'payload' ? `${protocol} ${field}` : `${room} ${member}`;
  if (IDLE.has(name)) return matched(true, name);
  const number = (kind: 'number' | 'address') =>
    typeof value === 'object' ? undefined : readNumber(kind, value);
  const changes: Readonly<Record<string, () => Partial<Packet>>> = {
    'meta mark': () => ({ mark: number('number') }),
    'ct mark': () => ({ ctMark: undefined }),
    'ip saddr': () => ({ saddr: number('address') }),
    'ip daddr': () => ({ daddr: number('address') }),
    'udp sport': () => ({ sport: number('number') }),
    'th sport': () => ({ sport: number('number') }),
    'udp dport': () => ({ dport: number('number') }),
    'th dport': () => ({ dport: number('number') }),
  };
  // Of another protocol: the rule ends. Anything else may spoil the packet.
  const change = changes[name]?.() ?? { odd: true };
  return { kind: 'change', packet: { ...packet, ...change } };
}

/** iptables-nft's own extensions; nft says no more of them than their names. */
function readCompat(extension: Json | null): Step {
  const { type, name } = extension ?? {};
  const why = `iptables ${type ?? 'extension'} ${name ?? ''}`.trim();
  if (type === 'match' && name === 'comment') return () => matched(true, why);
  if (type === 'match') return () => matched(null, why);
  return () => ({ kind: 'unclear', why });
}
