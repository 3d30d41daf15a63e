import { isIP } from 'node:net';
import { type Prefix4, parseAddress4, parsePrefix4 } from '../wire/address.ts';

/** Why a text is no value of an option; follows the option's name in the message. */
export class Refused extends Error {}

/** Where metrics and health are served. */
export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** Names of FEATURES in `dataplane/messages.ts`; a test holds the two lists together. */
export const OFFLOAD_NAMES: readonly string[] = [
  'tun_vnet_hdr',
  'tun_tso',
  'tun_uso',
  'udp_gso',
  'udp_gro',
  'coalesce_tcp',
  'coalesce_udp',
];

export const one =
  <Value>(parse: (text: string) => Value) =>
  (texts: readonly string[]): Value =>
    parse(texts.at(-1) ?? '');
export const text = one((value) => value);
export const texts = (values: readonly string[]): readonly string[] => Object.freeze([...values]);
export const flag = one((value) => {
  if (['true', '1', ''].includes(value)) return true;
  if (['false', '0'].includes(value)) return false;
  throw new Refused(`is true or false, not '${value}'`);
});
export const choice = <Name extends string>(...names: readonly Name[]) =>
  one((value): Name => {
    const found = names.find((name) => name === value);
    if (found === undefined) throw new Refused(`is one of ${names.join(', ')}, not '${value}'`);
    return found;
  });
export const integer = (least: number, most: number) =>
  one((value) => readInteger(value, least, most));

function readInteger(value: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new Refused(`is a whole number from ${least} to ${most}, not '${value}'`);
}

export const address = one((value): number | undefined => {
  const parsed = parseAddress4(value);
  if (parsed === undefined) throw new Refused(`is an IPv4 address, not '${value}'`);
  return parsed;
});

export const prefix = one((value): Prefix4 | undefined => {
  const parsed = parsePrefix4(value);
  if (parsed === undefined)
    throw new Refused(`is an IPv4 prefix like 10.244.0.0/16, not '${value}'`);
  return Object.freeze(parsed);
});

export const listen = one((value): Listen => {
  const colon = value.lastIndexOf(':');
  const host = value.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1');
  if (host === '') throw new Refused(`is ADDRESS:PORT like 127.0.0.1:8286, not '${value}'`);
  return Object.freeze({ host, port: readInteger(value.slice(colon + 1), 0, 65_535) });
});

export const host = one((value): string => {
  if (isIP(value) === 0) throw new Refused(`is an address to listen on, not '${value}'`);
  return value;
});

/** Names as in a URL, each with or without `*.` before it; in lower case. */
export function hostNames(given: readonly string[]): readonly string[] {
  const names = given.map((name) => name.toLowerCase().replace(/\.$/, ''));
  const strange = names.find((name) => !/^(?:\*\.)?[a-z\d_](?:[\w.-]{0,251}[a-z\d])?$/.test(name));
  if (strange === undefined) return Object.freeze(names);
  throw new Refused(`is a name such as weft.kube-system.svc, without port, not '${strange}'`);
}

export function regexes(values: readonly string[]): readonly RegExp[] {
  return Object.freeze(
    values.map((value) => {
      try {
        return new RegExp(value);
      } catch (error) {
        throw new Refused(`is a regular expression: ${(error as Error).message}`);
      }
    }),
  );
}

/** What an operator said of offloads; what neither list names is used as far as it can be. */
export interface Offloads {
  readonly off: readonly string[];
  /** Switched on by their own name: used even where weft would rather not. */
  readonly forced: readonly string[];
}

/** `name=on|off` in the order given, `all` for every feature; the last word on each counts. */
export function offloads(values: readonly string[]): Offloads {
  const said = new Map<string, 'off' | 'forced' | 'on'>();
  for (const value of values) {
    const [name = '', state = ''] = value.split('=');
    const names = name === 'all' ? OFFLOAD_NAMES : OFFLOAD_NAMES.filter((known) => known === name);
    if (names.length === 0) {
      throw new Refused(`knows no '${name}'${didYouMean(name, [...OFFLOAD_NAMES, 'all'])}`);
    }
    if (state !== 'on' && state !== 'off')
      throw new Refused(`is FEATURE=on or =off, not '${value}'`);
    const word = state === 'off' ? 'off' : name === 'all' ? 'on' : 'forced';
    for (const each of names) said.set(each, word);
  }
  const named = (word: string) => OFFLOAD_NAMES.filter((name) => said.get(name) === word);
  return Object.freeze({
    off: Object.freeze(named('off')),
    forced: Object.freeze(named('forced')),
  });
}

export const dscp = one((value) => (value === 'inherit' ? -1 : readInteger(value, 0, 63)));

export function readDeviceName(value: string): string {
  // IFNAMSIZ is 16 with the final zero; the kernel refuses these characters (dev_valid_name).
  if (/^[^\s/:%]{1,15}$/.test(value) && value !== '.' && value !== '..') return value;
  throw new Refused(`is a device name of at most 15 characters, not '${value}'`);
}

/** `: did you mean X?`, or nothing where no name is near. */
export function didYouMean(name: string, known: readonly string[]): string {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  const near = best !== undefined && best.distance <= Math.max(2, name.length * 0.4);
  return near ? `: did you mean ${best.candidate}?` : '';
}

/** Letters to insert, delete or replace to get from one text to the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let last = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      next.push(Math.min(last[j]! + 1, next[j - 1]! + 1, last[j - 1]! + same));
    }
    last = next;
  }
  return last[to.length]!;
}
