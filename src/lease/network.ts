import { compact, guarded, LIMITS, splitObject } from '../untrusted/json.ts';
import { firstFaults } from '../untrusted/shown.ts';
import type { Prefix4 } from '../wire/address.ts';
import { address4, address6, bool, raw, readMembers, type Values, whole } from './go-json.ts';
import type { Prefix6 } from './lease.ts';
import { type BackendConfig, readBackend } from './network/backend.ts';
import { IPV4, IPV6, numberOf, prefixOf, readRange, type SubnetRange } from './network/range.ts';

/** The network config of a cluster, with flannel's defaults filled in. */
export interface NetworkConfig {
  readonly ipv4: SubnetRange<Prefix4, number> | null;
  readonly ipv6: SubnetRange<Prefix6, Uint8Array> | null;
  readonly enableNftables: boolean;
  readonly backend: BackendConfig;
  /** The JSON that it came as, without blanks: two configs are the same if it is. */
  readonly text: string;
}

export type NetworkParsed =
  | { readonly ok: true; readonly config: NetworkConfig }
  | { readonly ok: false; readonly faults: readonly string[] };

/** What a source found when asked for the network config. */
export type NetworkReading =
  | { readonly kind: 'config'; readonly config: NetworkConfig }
  | { readonly kind: 'missing'; readonly where: string }
  | { readonly kind: 'bad'; readonly where: string; readonly faults: readonly string[] }
  | { readonly kind: 'unreachable'; readonly reason: string };

/** Go's uint; what is no length of a prefix is told with the network beside it. */
const uint = whole(0, Number.MAX_SAFE_INTEGER);

/** flannel's `subnet.Config`. */
const FIELDS = {
  EnableIPv4: bool,
  EnableIPv6: bool,
  EnableNFTables: bool,
  Network: prefixOf(IPV4),
  IPv6Network: prefixOf(IPV6),
  SubnetMin: address4,
  SubnetMax: address4,
  IPv6SubnetMin: address6,
  IPv6SubnetMax: address6,
  SubnetLen: uint,
  IPv6SubnetLen: uint,
  Backend: raw,
};

type Fields = Values<typeof FIELDS>;

/**
 * The JSON at `<prefix>/config` → network config, as Go reads it: member names in any case, unknown
 * ones passed over. Whatever the text, it is read or refused, with every fault named at once, and
 * with it the member, what was found there and what must be.
 */
export function parseNetworkConfig(json: string): NetworkParsed {
  const read = guarded(() => ({ ok: true, value: readNetworkConfig(json) }));
  return read.ok ? read.value : { ok: false, faults: [read.reason] };
}

function readNetworkConfig(json: string): NetworkParsed {
  const members = splitObject(json, LIMITS.networkConfig);
  if (!members.ok) return { ok: false, faults: [members.reason] };
  const faults: string[] = [];
  const fields = readMembers(members.value, FIELDS, faults);
  const enable4 = fields.EnableIPv4 ?? true;
  const enable6 = fields.EnableIPv6 ?? false;
  if (!enable4 && !enable6) faults.push('EnableIPv4 and EnableIPv6 are both false: enable one');
  const config = {
    ipv4: enable4 ? readRange(IPV4, members4(fields), faults) : null,
    ipv6: enable6 ? readRange(IPV6, members6(fields), faults) : null,
    enableNftables: fields.EnableNFTables ?? false,
    backend: readBackend(fields.Backend, faults),
    text: compact(json),
  };
  return faults.length > 0 ? { ok: false, faults: firstFaults(faults) } : { ok: true, config };
}

function members4({ Network: network, SubnetLen: subnetLength, ...fields }: Fields) {
  const { SubnetMin, SubnetMax } = fields;
  const subnetMin = SubnetMin === undefined ? undefined : BigInt(SubnetMin);
  const subnetMax = SubnetMax === undefined ? undefined : BigInt(SubnetMax);
  return { network, subnetLength, subnetMin, subnetMax };
}

function members6({ IPv6Network: network, IPv6SubnetLen: subnetLength, ...fields }: Fields) {
  const { IPv6SubnetMin, IPv6SubnetMax } = fields;
  const subnetMin = IPv6SubnetMin ? numberOf(IPv6SubnetMin) : undefined;
  const subnetMax = IPv6SubnetMax ? numberOf(IPv6SubnetMax) : undefined;
  return { network, subnetLength, subnetMin, subnetMax };
}
