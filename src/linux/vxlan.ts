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
}

/** `info_data` of `ip -json -details link show`. */
export interface VxlanRow {
  id?: number;
  link?: string;
  local?: string;
  port?: number;
  learning?: boolean;
  gbp?: boolean;
}

export function readVxlan(row: VxlanRow): VxlanDetails {
  return {
    vni: row.id ?? 0,
    link: row.link ?? '',
    local: row.local ?? '',
    port: row.port ?? 0,
    learning: row.learning === true,
    groupPolicy: row.gbp === true,
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
  return names
    .filter((name) => is[name] !== wanted[name])
    .map((name) => `${name} ${is[name] === '' ? 'unset' : is[name]} instead of ${wanted[name]}`);
}
