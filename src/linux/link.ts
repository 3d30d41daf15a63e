import { ipJson, isNoDevice, type Run } from './command.ts';
import { readVxlan, type VxlanDetails, type VxlanRow } from './vxlan.ts';

/** One address of a link as the kernel tells it. */
export interface LinkAddress {
  readonly family: 'inet' | 'inet6';
  /** Text form without the length. */
  readonly local: string;
  readonly prefixLength: number;
  readonly scope: string;
  readonly deprecated: boolean;
  readonly dynamic: boolean;
  readonly temporary: boolean;
}

/** What a TUN or TAP device says of itself. */
export interface TunDetails {
  readonly mode: 'tun' | 'tap';
  readonly multiQueue: boolean;
  readonly persistent: boolean;
  /** Descriptors attached right now, of any process; 0 too where the kernel does not say. */
  readonly queues: number;
}

/** What others may hang on a link, in the words of `ip link`. */
export interface Attached {
  /** ARPHRD in words: `none` for a TUN, `ether`. */
  readonly linkType: string;
  /** Kind of the root queueing discipline, `mq`; `noop` for a link that was never up. */
  readonly qdisc: string;
  /** The bridge, bond or VRF that it is a port of. */
  readonly master?: string;
  readonly xdp: boolean;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** Whether packets may pass while it is up (operstate, IFLA_CARRIER). */
  readonly carrier: boolean;
  readonly mtu: number;
  /** Packets that wait for the device, where its queueing discipline asks. */
  readonly queueLength: number;
  /** What stands in the packets' way on it, for whoever asks. */
  readonly attached: Attached;
  /** Kind in rtnetlink's words, `tun` for both TUN and TAP; absent for hardware. */
  readonly kind?: string;
  readonly tun?: TunDetails;
  readonly vxlan?: VxlanDetails;
  /** The link that it is on top of, as a VLAN's. */
  readonly parent?: string;
  /** Link-layer address, lower case with colons; a TUN has none. */
  readonly macAddress?: string;
  readonly addresses: readonly LinkAddress[];
}

interface AddressRow {
  family: string;
  local?: string;
  prefixlen: number;
  scope: string;
  deprecated?: boolean;
  dynamic?: boolean;
  temporary?: boolean;
}

interface LinkRow {
  ifindex?: number;
  ifname: string;
  flags: string[];
  mtu: number;
  txqlen?: number;
  qdisc?: string;
  master?: string;
  link_type?: string;
  xdp?: object;
  link?: string;
  address?: string;
  linkinfo?: { info_kind?: string; info_data?: TunRow & VxlanRow };
  addr_info?: AddressRow[];
}

interface TunRow {
  type?: string;
  multi_queue?: boolean;
  persist?: boolean;
  numqueues?: number;
  numdisabled?: number;
}

/** All links of the network namespace with their addresses, in the kernel's order. */
export async function listLinks(run: Run): Promise<Link[]> {
  const rows = await ipJson<LinkRow>(run, ['-details', 'address', 'show']);
  // Some versions of ip leave empty objects in the list for rows that a filter dropped.
  return rows.filter((row) => row.ifname !== undefined).map(readLink);
}

/**
 * The link of that name, or undefined; a missing link is an answer, not a failure. Asks for that
 * one alone: a node may have a link a pod.
 */
export async function findLink(run: Run, name: string): Promise<Link | undefined> {
  try {
    const rows = await ipJson<LinkRow>(run, ['-details', 'address', 'show', 'dev', name]);
    // Another link may have the name as an altname.
    return rows.filter((row) => row.ifname === name).map(readLink)[0];
  } catch (error) {
    if (isNoDevice(error)) return undefined;
    throw error;
  }
}

function readLink(row: LinkRow): Link {
  const kind = row.linkinfo?.info_kind;
  return {
    index: row.ifindex ?? 0,
    name: row.ifname,
    up: row.flags.includes('UP'),
    carrier: !row.flags.includes('NO-CARRIER'),
    mtu: row.mtu,
    queueLength: row.txqlen ?? 0,
    attached: readAttached(row),
    ...(kind === undefined ? {} : { kind }),
    ...(kind === 'tun' ? { tun: readTun(row.linkinfo?.info_data ?? {}) } : {}),
    ...(kind === 'vxlan' ? { vxlan: readVxlan(row.linkinfo?.info_data ?? {}) } : {}),
    ...(row.link === undefined ? {} : { parent: row.link }),
    ...(row.address === undefined ? {} : { macAddress: row.address }),
    addresses: (row.addr_info ?? []).flatMap(readAddress),
  };
}

function readAttached({ link_type, qdisc, master, xdp }: LinkRow): Attached {
  return {
    linkType: link_type ?? '',
    qdisc: qdisc ?? '',
    ...(master === undefined ? {} : { master }),
    xdp: xdp !== undefined,
  };
}

function readTun(row: TunRow): TunDetails {
  return {
    mode: row.type === 'tap' ? 'tap' : 'tun',
    multiQueue: row.multi_queue === true,
    persistent: row.persist === true,
    queues: (row.numqueues ?? 0) + (row.numdisabled ?? 0),
  };
}

function readAddress(row: AddressRow): LinkAddress[] {
  if (row.local === undefined || (row.family !== 'inet' && row.family !== 'inet6')) return [];
  return [
    {
      family: row.family,
      local: row.local,
      prefixLength: row.prefixlen,
      scope: row.scope,
      deprecated: row.deprecated === true,
      dynamic: row.dynamic === true,
      temporary: row.temporary === true,
    },
  ];
}

/**
 * Creates a persistent multi-queue TUN without packet information; its name must be free. It is
 * root's: to one without an owner any user may attach a queue (drivers/net/tun.c).
 */
export async function createTun(run: Run, name: string): Promise<void> {
  const owner = ['user', '0', 'group', '0'];
  await run(['ip', 'tuntap', 'add', 'dev', name, 'mode', 'tun', 'multi_queue', ...owner]);
}

/** Removes the link; one that is already gone is no failure. */
export async function deleteLink(run: Run, name: string): Promise<void> {
  if ((await findLink(run, name)) === undefined) return;
  try {
    await run(['ip', 'link', 'delete', 'dev', name]);
  } catch (error) {
    if ((await findLink(run, name)) !== undefined) throw error;
  }
}

/** Sets MTU and transmit queue (packets) in one request. */
export async function setLink(run: Run, name: string, mtu: number, queue: number): Promise<void> {
  await run(['ip', 'link', 'set', 'dev', name, 'mtu', `${mtu}`, 'txqueuelen', `${queue}`]);
}

/** Gives a link back its name. Linux before 6.2 renames only what is down, so it is set down. */
export async function renameLink(run: Run, from: string, to: string): Promise<void> {
  await run(['ip', 'link', 'set', 'dev', from, 'down']);
  await run(['ip', 'link', 'set', 'dev', from, 'name', to]);
  await setLinkUp(run, to);
}

/** Lets packets pass a link that somebody took the carrier from. */
export async function setCarrier(run: Run, name: string): Promise<void> {
  await run(['ip', 'link', 'set', 'dev', name, 'carrier', 'on']);
}

export async function setLinkUp(run: Run, name: string): Promise<void> {
  await run(['ip', 'link', 'set', 'dev', name, 'up']);
}

/**
 * Leaves the link with exactly that one IPv4 address and no label.
 * @param address text with length, `10.1.5.0/32`
 * @returns the addresses that had to go
 */
export async function setOnlyAddress(run: Run, link: Link, address: string): Promise<string[]> {
  const present = link.addresses
    .filter((row) => row.family === 'inet')
    .map((row) => `${row.local}/${row.prefixLength}`);
  const foreign = present.filter((text) => text !== address);
  for (const text of foreign) {
    await run(['ip', 'address', 'delete', text, 'dev', link.name]);
  }
  // `replace` is what makes a second call harmless.
  await run(['ip', 'address', 'replace', address, 'dev', link.name]);
  return foreign;
}
