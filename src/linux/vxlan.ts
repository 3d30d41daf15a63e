import type { Run } from './command.ts';

/** What makes one vxlan device differ from another, in the words of `ip link add type vxlan`. */
export interface VxlanDetails {
  readonly vni: number;
  /** Name of the underlay link; empty where it is bound to none. */
  readonly link: string;
  /** Address that outer packets come from; empty where the kernel chooses. */
  readonly local: string;
  readonly port: number;
  /** Whether the device learns entries from packets that it receives. */
  readonly learning: boolean;
  /** Group policy extension: carries the packet's mark (draft-smith-vxlan-group-policy). */
  readonly groupPolicy: boolean;
  /** What else was set, `ttl 1`, that no device of ours has; left out where there is nothing. */
  readonly others?: string;
}

/**
 * `info_data` of a device as `createVxlan` makes it; undefined where ip(8) tells nothing then. What
 * is not among these makes no difference to packets of ours: ageing, checksums, source ports.
 */
const AS_MADE = {
  ...{ external: undefined, vnifilter: undefined, gpe: undefined },
  ...{ remcsum_tx: undefined, remcsum_rx: undefined },
  ...{ group: undefined, group6: undefined, remote: undefined, remote6: undefined },
  ...{ proxy: undefined, rsc: undefined, l2miss: undefined, l3miss: undefined },
  ...{ tos: undefined, ttl: 0, df: 'unset', limit: undefined },
} as const;

/** `info_data` of `ip -json -details link show`. */
export interface VxlanRow {
  id?: number;
  link?: string;
  local?: string;
  port?: number;
  learning?: boolean;
  gbp?: boolean;
  /** Those of `AS_MADE`, among others. */
  [setting: string]: unknown;
}

export function readVxlan(row: VxlanRow): VxlanDetails {
  const others = Object.entries(AS_MADE)
    .filter(([name, made]) => row[name] !== undefined && row[name] !== made)
    .map(([name]) => (row[name] === true ? name : `${name} ${row[name]}`))
    .join(', ');
  return {
    vni: row.id ?? 0,
    link: row.link ?? '',
    local: row.local ?? '',
    port: row.port ?? 0,
    learning: row.learning === true,
    groupPolicy: row.gbp === true,
    ...(others === '' ? {} : { others }),
  };
}

/** Creates the device, down; its name must be free. */
export async function createVxlan(
  run: Run,
  device: { readonly name: string; readonly macAddress: string; readonly mtu: number },
  details: VxlanDetails,
): Promise<void> {
  const { vni, link, local, port, learning, groupPolicy } = details;
  await run([
    ...['ip', 'link', 'add', device.name, 'address', device.macAddress, 'mtu', `${device.mtu}`],
    ...['type', 'vxlan', 'id', `${vni}`, 'dev', link, 'local', local, 'dstport', `${port}`],
    learning ? 'learning' : 'nolearning',
    ...(groupPolicy ? ['gbp'] : []),
  ]);
}

/** Which settings differ, each as `port 4789 instead of 8472`. */
export function vxlanDifferences(is: VxlanDetails, wanted: VxlanDetails): string[] {
  const names = Object.keys(wanted) as (keyof VxlanDetails)[];
  const differ = names
    .filter((name) => is[name] !== wanted[name])
    .map((name) => `${name} ${is[name] === '' ? 'unset' : is[name]} instead of ${wanted[name]}`);
  return is.others === undefined ? differ : [...differ, `${is.others} set`];
}
