import type { Prefix4 } from '../../../wire/address.ts';
import type { Prefix6 } from '../../lease.ts';

/** Addresses of either family as numbers without a limit; both ends are inside. */
export interface Span {
  readonly first: bigint;
  readonly last: bigint;
}

/** Where subnets may begin: at `least`, then every `size` addresses, up to `most`. */
export interface Walk {
  readonly least: bigint;
  readonly most: bigint;
  readonly size: bigint;
}

/** flannel's: enough that nodes starting together seldom meet, and no more to look at. */
const CHOICES = 100;

/**
 * First addresses of the first `limit` subnets of the walk that share no address with a taken one,
 * in ascending order. Taken spans may overlap each other and lie anywhere, in any order.
 */
export function freeSubnets(
  { least, most, size }: Walk,
  taken: readonly Span[],
  limit: number,
): bigint[] {
  const sorted = [...taken].sort((one, other) => compare(one.first, other.first));
  const free: bigint[] = [];
  let next = 0;
  let reach = -1n;
  let first = least;
  while (first <= most && free.length < limit) {
    for (; next < sorted.length && sorted[next]!.first < first + size; next++) {
      if (sorted[next]!.last > reach) reach = sorted[next]!.last;
    }
    if (reach < first) {
      free.push(first);
      first += size;
    } else {
      // Over all that is taken in one stride, for a span may cover millions of subnets.
      first += ((reach - first) / size + 1n) * size;
    }
  }
  return free;
}

/** One of the first hundred free subnets, by chance; undefined where none is left. */
export function chooseSubnet(
  walk: Walk,
  taken: readonly Span[],
  random: () => number = Math.random,
): bigint | undefined {
  const free = freeSubnets(walk, taken, CHOICES);
  return free[Math.floor(random() * free.length)];
}

export function spanOf4({ network, length }: Prefix4): Span {
  const first = BigInt(network);
  return { first, last: first + (1n << BigInt(32 - length)) - 1n };
}

export function spanOf6({ network, length }: Prefix6): Span {
  const first = numberOf6(network);
  return { first, last: first + (1n << BigInt(128 - length)) - 1n };
}

/** The 16 bytes of an IPv6 address as one number. */
export function numberOf6(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

/** The number as the 16 bytes of an IPv6 address. */
export function address6Of(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => Number((value >> BigInt(120 - 8 * at)) & 255n));
}

function compare(one: bigint, other: bigint): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
