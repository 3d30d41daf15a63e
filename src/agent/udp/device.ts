import { existsSync } from 'node:fs';
import type { Run } from '../../linux/command.ts';
import { whoHoldsTun } from '../../linux/holder/holder.ts';
import * as link from '../../linux/link.ts';
import * as route from '../../linux/route.ts';
import { readSysctl, sysctlName, writeSysctl } from '../../linux/sysctl.ts';
import {
  contains,
  formatAddress4,
  formatPrefix4,
  type Prefix4,
  parseAddress4,
} from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import { requireNetworkAdmin } from '../node/settings.ts';
import { isOverlayDevice } from '../underlay/candidates.ts';
import { type Attachment, attachmentsOf, listAttachments, warnOf } from './attachments.ts';

/** The tunnel's end on this host. */
export interface TunnelDevice {
  readonly name: string;
  readonly mtu: number;
  readonly subnet: Prefix4;
  readonly network: Prefix4;
}

/** Which link is this process's own, and what may become of one that others left. */
export interface Past {
  /** Index of the link that this process made before; undefined at its first start. */
  readonly index: number | undefined;
  /** --keep-device: whatever hangs on it is kept too. */
  readonly keep: boolean;
}

/** The device once it is there. */
export interface MadeDevice {
  readonly index: number;
  /** What could not be set (a read-only /proc/sys), for a warning. */
  readonly unset: readonly string[];
  /** What is worth a warning about a device that was there before. */
  readonly warnings: readonly string[];
}

/** Our link, as the upkeep knows it. */
export interface OwnLink {
  /** Of the link that is ours: one of the same name made since is not. */
  readonly index: number;
  /** How many our pumps have open. */
  readonly queues: number;
}

/** What a look at the device found, and set right in passing. */
export interface DeviceState {
  readonly state: 'gone' | 'down' | 'up';
  readonly repairs: readonly string[];
  /** What keeps packets from flowing and is not ours to undo, with the cure; or empty. */
  readonly trouble: string;
  /** What others have hung on it: may hold packets up, or be wanted. */
  readonly attached: readonly Attachment[];
}

/** Bursts of many flows wait here for a pump; flannel leaves the kernel's 500. */
const TRANSMIT_QUEUE_PACKETS = 1000;
/** ARPHRD_NONE: IP packets without a header of the link's. */
const TUN_LINK_TYPE = 'none';

/** The address that flannel gives the device: the base of the subnet, alone. */
export function deviceAddress(device: TunnelDevice): string {
  return `${formatAddress4(device.subnet.network)}/32`;
}

/**
 * Creates the device as flannel's, or takes over one that an earlier run left behind; sets address,
 * MTU and route. What a queue sets besides is in tun/device.ts. Harmless when repeated.
 * @throws Fault for a device or a route in the way, a missing /dev/net/tun or capability
 */
export async function createDevice(
  run: Run,
  device: TunnelDevice,
  past: Past = { index: undefined, keep: false },
): Promise<MadeDevice> {
  requireNetworkAdmin();
  requireTunDriver();
  await refuseForeignRoute(run, device);
  const present = await link.findLink(run, device.name);
  if (present !== undefined) await refuseForeignLink(present);
  const warnings = present === undefined ? [] : await clearAttachments(run, present, past);
  if ((await link.findLink(run, device.name)) === undefined) await link.createTun(run, device.name);
  // Before the device is up, or the kernel has sent router solicitations already.
  const { unset } = setSysctls(device.name);
  await link.setLink(run, device.name, device.mtu, TRANSMIT_QUEUE_PACKETS);
  const created = await requireLink(run, device.name);
  await link.setOnlyAddress(run, created, deviceAddress(device));
  await link.setLinkUp(run, device.name);
  await route.ensureDeviceRoute(run, formatPrefix4(device.network), device.name);
  return { index: created.index, unset, warnings };
}

/**
 * A device that nobody holds carries nobody's packets, so one on which something hangs that may
 * hold up ours is removed, to be made anew. What hangs on our own, or on one to be kept, was put
 * there by somebody who may want it: it stays and is told.
 */
async function clearAttachments(run: Run, present: link.Link, past: Past): Promise<string[]> {
  const { name, attached, index } = present;
  const found = await listAttachments(run, present);
  const isStrange = attached.linkType !== TUN_LINK_TYPE;
  if (found.length === 0 && !isStrange) return [];
  if (!isStrange && (past.keep || index === past.index)) return [warnOf(name, found)];
  await link.deleteLink(run, name);
  const type = isStrange ? [`link type ${attached.linkType}`] : [];
  const what = [...type, ...found.map((attachment) => attachment.what)].join(', ');
  return [`${name} was there with ${what}, which weft does not set: created again without it`];
}

function requireTunDriver(): void {
  if (existsSync('/dev/net/tun')) return;
  throw new Fault(
    'environment',
    'no /dev/net/tun here: modprobe tun, and in a container add the device ' +
      '(docker run --device /dev/net/tun)',
  );
}

async function requireLink(run: Run, name: string): Promise<link.Link> {
  const found = await link.findLink(run, name);
  if (found !== undefined) return found;
  throw new Fault('environment', `${name} vanished while it was being set up`);
}

async function refuseForeignLink(present: link.Link): Promise<void> {
  const { tun, name } = present;
  if (tun !== undefined) await refuseHeld(name, tun);
  const what = strangeness(present);
  if (what === undefined) return;
  throw new Fault(
    'environment',
    `${name} exists and is ${what}: take another name with --dev; or, if nothing on this host ` +
      `needs it, remove it with 'ip link delete ${name}'`,
  );
}

/** Without multi_queue the kernel does not count queues, so /proc has to be asked. */
async function refuseHeld(name: string, tun: link.TunDetails): Promise<void> {
  const isHeld = tun.queues > 0 || !tun.persistent;
  if (!isHeld && tun.multiQueue) return;
  const { who, cure, known } = await whoHoldsTun(name);
  if (!isHeld && !known) return;
  throw new Fault(
    'environment',
    `${name} is held by ${who}: ${cure}, or take another name with --dev`,
  );
}

/** What keeps a link from being our device of an earlier run. */
function strangeness({ tun, kind }: link.Link): string | undefined {
  if (tun === undefined) return `of kind ${kind ?? 'hardware'}, not a TUN`;
  if (tun.mode === 'tap') return 'a TAP device, not a TUN';
  return tun.multiQueue ? undefined : 'a TUN without multi_queue';
}

/** @returns what was another value and now is right, and what could not be set, with why */
function setSysctls(name: string): { set: string[]; unset: string[] } {
  const wanted: (readonly [string, string])[] = [
    [`net/ipv6/conf/${name}/disable_ipv6`, '1'],
    [`net/ipv6/conf/${name}/accept_ra`, '0'],
    // ICMP errors of ours come out of the TUN from the host's own address: martians otherwise.
    [`net/ipv4/conf/${name}/accept_local`, '1'],
  ];
  // Whether the host forwards at all is the operator's word; the device must not be left out.
  if (readSysctl('net/ipv4/ip_forward') === '1') {
    wanted.push([`net/ipv4/conf/${name}/forwarding`, '1']);
  }
  const set: string[] = [];
  const unset: string[] = [];
  for (const [path, value] of wanted) {
    const was = readSysctl(path);
    if (was === undefined || was === value) continue;
    const setting = `${sysctlName(path)}=${value}`;
    const reason = writeSysctl(path, value);
    if (reason === undefined) set.push(setting);
    else unset.push(`${setting} (${reason})`);
  }
  return { set, unset };
}

async function refuseForeignRoute(run: Run, device: TunnelDevice): Promise<void> {
  const routes = await route.listRoutes(run, formatPrefix4(device.network));
  const foreign = routes.find((found) => found.device !== device.name);
  if (foreign === undefined) return;
  const links = await link.listLinks(run);
  const own = links
    .filter(({ name }) => !isOverlayDevice(name, device.name))
    .flatMap(({ addresses }) => addresses.flatMap(({ local }) => parseAddress4(local) ?? []));
  throw new Fault(
    'environment',
    `another route has the overlay's network: '${route.describeRoute(foreign)}': ` +
      route.cureOfRoute(
        foreign,
        own.filter((address) => !contains(device.subnet, address)),
      ),
  );
}

/**
 * Looks at the device and restores what others changed: name, carrier, MTU, queue, sysctls, address
 * and route (the kernel drops the route when the device goes down). A device that is down stays
 * down: somebody wanted that.
 */
export async function restoreDevice(
  run: Run,
  device: TunnelDevice,
  own: OwnLink,
): Promise<DeviceState> {
  const repairs: string[] = [];
  const found = await findOwn(run, device.name, own.index, repairs);
  const nothing = { repairs, trouble: '', attached: [] };
  if (found === undefined) return { state: 'gone', ...nothing };
  if (!found.up) return { state: 'down', ...nothing };
  repairs.push(...(await restoreLink(run, device, found)));
  const address = formatAddress4(device.subnet.network);
  if (!found.addresses.some((row) => row.local === address && row.prefixLength === 32)) {
    await link.setOnlyAddress(run, found, deviceAddress(device));
    repairs.push(`address ${deviceAddress(device)}`);
  }
  repairs.push(...(await restoreRoute(run, device)));
  const attached = attachmentsOf(found);
  return { state: 'up', repairs, trouble: await troubleOf(found, own), attached };
}

/** Our link, under its own name again; undefined once it has gone from this network namespace. */
async function findOwn(
  run: Run,
  name: string,
  index: number,
  repairs: string[],
): Promise<link.Link | undefined> {
  const found = await link.findLink(run, name);
  if (found !== undefined) return found.index === index ? found : undefined;
  const renamed = (await link.listLinks(run)).find((candidate) => candidate.index === index);
  if (renamed === undefined) return undefined;
  await link.renameLink(run, renamed.name, name);
  repairs.push(`name back from ${renamed.name}`);
  return link.findLink(run, name);
}

async function restoreLink(run: Run, device: TunnelDevice, found: link.Link): Promise<string[]> {
  const { name, mtu } = device;
  const repairs: string[] = [];
  // Without a queue a TUN has none to give.
  if (!found.carrier && (found.tun?.queues ?? 0) > 0) {
    await link.setCarrier(run, name);
    repairs.push('carrier');
  }
  const wrong = [
    ...(found.mtu === mtu ? [] : [`MTU back from ${found.mtu} to ${mtu}`]),
    ...(found.queueLength === TRANSMIT_QUEUE_PACKETS
      ? []
      : [`txqueuelen back from ${found.queueLength} to ${TRANSMIT_QUEUE_PACKETS}`]),
  ];
  if (wrong.length > 0) await link.setLink(run, name, mtu, TRANSMIT_QUEUE_PACKETS);
  return [...repairs, ...wrong, ...setSysctls(name).set];
}

async function troubleOf(
  { name, attached: { master }, tun }: link.Link,
  own: OwnLink,
): Promise<string> {
  if (master !== undefined) {
    const cure = `ip link set dev ${name} nomaster`;
    return `${name} is a port of ${master}, so its packets go astray: ${cure}`;
  }
  const strange = (tun?.queues ?? 0) - own.queues;
  if (strange <= 0) return '';
  const queues = `${strange} queue${strange === 1 ? '' : 's'}`;
  const { who, cure } = await whoHoldsTun(name, true);
  return `${queues} of ${name} opened by ${who}, which takes a share of the flows: ${cure}`;
}

async function restoreRoute(run: Run, device: TunnelDevice): Promise<string[]> {
  const network = formatPrefix4(device.network);
  const routes = await route.listRoutes(run, network);
  if (routes.some((found) => found.device === device.name)) return [];
  // Not ours to remove, and not to be replaced in silence.
  await refuseForeignRoute(run, device);
  await route.ensureDeviceRoute(run, network, device.name);
  return [`route ${network}`];
}

/** Removes the device, and with it address and route; one made by somebody else stays. */
export async function removeDevice(run: Run, name: string, index: number): Promise<void> {
  const found = await link.findLink(run, name);
  if (found?.index === index) await link.deleteLink(run, name);
}
