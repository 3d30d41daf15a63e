import { ipJson, jsonRows, type Run } from './command.ts';

/** One IPv4 neighbour of a device: who answers to an address, without ARP if permanent. */
export interface Neighbour {
  readonly address: string;
  /** Absent while ARP has no answer. */
  readonly macAddress?: string;
  readonly permanent: boolean;
}

interface NeighbourRow {
  dst: string;
  lladdr?: string;
  state?: string[];
}

/** The IPv4 neighbours of that device, which must exist. */
export async function listNeighbours(run: Run, device: string): Promise<Neighbour[]> {
  const rows = await ipJson<NeighbourRow>(run, ['-4', 'neighbour', 'show', 'dev', device]);
  return rows.map((row) => ({
    address: row.dst,
    ...(row.lladdr === undefined ? {} : { macAddress: row.lladdr }),
    permanent: row.state?.includes('PERMANENT') === true,
  }));
}

/** One entry of a vxlan device's forwarding database: where frames to a MAC address are sent. */
export interface ForwardingEntry {
  readonly macAddress: string;
  /** Underlay address of the node; absent on entries for other purposes. */
  readonly destination?: string;
  readonly permanent: boolean;
  /** Nothing but MAC and destination: no VNI, port or link of its own. */
  readonly plain: boolean;
}

interface ForwardingRow {
  mac: string;
  dst?: string;
  flags?: string[];
  state?: string;
  vni?: number;
  port?: number;
  via?: string;
  viaIfIndex?: number;
}

/** The device's own forwarding entries; the device must exist. */
export async function listForwarding(run: Run, device: string): Promise<ForwardingEntry[]> {
  const argv = ['bridge', '-json', 'fdb', 'show', 'dev', device];
  return jsonRows<ForwardingRow>(argv, await run(argv))
    .filter((row) => row.flags?.includes('self'))
    .map((row) => ({
      macAddress: row.mac,
      ...(row.dst === undefined ? {} : { destination: row.dst }),
      permanent: row.state === 'permanent',
      plain:
        row.vni === undefined &&
        row.port === undefined &&
        row.via === undefined &&
        row.viaIfIndex === undefined,
    }));
}
