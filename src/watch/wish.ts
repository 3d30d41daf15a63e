/** What listeners want, and the one filter in the pumps that gives each of them enough. Pure. */
import type { TapFilter } from '../dataplane/tap/reader.ts';
import { maskOf, type Prefix4 } from '../wire/address.ts';
import type { PacketFilter } from './filter.ts';

export interface Wish {
  readonly filter: PacketFilter;
  /** Bytes of each packet; at least LEAST_SNAP_LENGTH. */
  readonly snapLength: number;
  /** One of so many packets, at least, and one of so many drops. */
  readonly every: number;
  readonly dropsEvery: number;
}

/** The longest IPv4 header and the ports behind it, which filters are held against. */
export const LEAST_SNAP_LENGTH = 64;
/** A whole packet, whatever its size. */
export const WHOLE_PACKET = 65_535;

/** A filter that lets through whatever any of the wishes asks for; there is at least one. */
export function unite(wishes: readonly Wish[]): TapFilter {
  const filters = wishes.map(({ filter }) => filter);
  const network = commonNetwork(filters.map(({ networks }) => networks[0]));
  const protocol = agreed(filters.map((filter) => filter.protocol));
  const port = agreed(filters.map(({ ports }) => ports[0]));
  const peer = agreed(filters.map((filter) => filter.peer));
  const ofPackets = wishes.filter(({ filter }) => !filter.dropsOnly);
  return {
    packets: ofPackets.length > 0,
    drops: true,
    snapLength: Math.max(LEAST_SNAP_LENGTH, ...wishes.map((wish) => wish.snapLength)),
    every: Math.min(...ofPackets.map((wish) => wish.every), MOST_THINNED),
    dropsEvery: Math.min(...wishes.map((wish) => wish.dropsEvery)),
    ...(network === undefined ? {} : { network }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(port === undefined ? {} : { port }),
    ...(peer === undefined ? {} : { peer }),
  };
}

/** Nobody needs fewer than one packet in a million. */
export const MOST_THINNED = 1_000_000;

function agreed<Value>(values: readonly (Value | undefined)[]): Value | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined;
}

/** The longest prefix that covers all; none if one of them is none. */
function commonNetwork(prefixes: readonly (Prefix4 | undefined)[]): TapFilter['network'] {
  let common = prefixes[0];
  for (const prefix of prefixes) {
    if (common === undefined || prefix === undefined) return undefined;
    const differing = Math.clz32(common.network ^ prefix.network);
    const length = Math.min(common.length, prefix.length, differing);
    common = { network: common.network & maskOf(length), length };
  }
  if (common === undefined || common.length === 0) return undefined;
  return { network: common.network | 0, mask: maskOf(common.length) | 0 };
}
