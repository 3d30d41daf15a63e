import { existsSync } from 'node:fs';
import type { Run } from '../../linux/command.ts';
import * as link from '../../linux/link.ts';
import * as route from '../../linux/route.ts';
import { writeSysctl } from '../../linux/sysctl.ts';
import { formatAddress4, formatPrefix4, type Prefix4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import { requireNetworkAdmin } from '../node/settings.ts';

/** The tunnel's end on this host. */
export interface TunnelDevice {
  readonly name: string;
  readonly mtu: number;
  readonly subnet: Prefix4;
  readonly network: Prefix4;
}

/** What a look at the device found, and set right in passing. */
export interface DeviceState {
  readonly state: 'gone' | 'down' | 'up';
  readonly repairs: readonly string[];
}

/** Bursts of many flows wait here for a pump; flannel leaves the kernel's 500. */
const TRANSMIT_QUEUE_PACKETS = 1000;

/** The address that flannel gives the device: the base of the subnet, alone. */
export function deviceAddress(device: TunnelDevice): string {
  return `${formatAddress4(device.subnet.network)}/32`;
}

/**
 * Creates the device as flannel's, or takes over one that an earlier run left behind; sets address,
 * MTU and route. Harmless when repeated.
 * @returns the link's index, and what could not be set (a read-only /proc/sys), for a warning
 * @throws Fault for a device or a route in the way, a missing /dev/net/tun or capability
 */
export async function createDevice(
  run: Run,
  device: TunnelDevice,
): Promise<{ index: number; unset: readonly string[] }> {
  requireNetworkAdmin();
  requireTunDriver();
  await refuseForeignRoute(run, device);
  const present = await link.findLink(run, device.name);
  if (present === undefined) await link.createTun(run, device.name);
  else refuseForeignLink(present);
  // Before the device is up, or the kernel has sent router solicitations already.
  const unset = setSysctls(device.name);
  await link.setLink(run, device.name, device.mtu, TRANSMIT_QUEUE_PACKETS);
  const created = await requireLink(run, device.name);
  await link.setOnlyAddress(run, created, deviceAddress(device));
  await link.setLinkUp(run, device.name);
  await route.ensureDeviceRoute(run, formatPrefix4(device.network), device.name);
  return { index: created.index, unset };
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

function refuseForeignLink(present: link.Link): void {
  const { tun, name } = present;
  if (tun !== undefined && tun.queues > 0) {
    throw new Fault(
      'environment',
      `${name} is held by another process (flanneld, or a second weft): stop that one, ` +
        'or take another name with --dev',
    );
  }
  const what = strangeness(present);
  if (what === undefined) return;
  throw new Fault(
    'environment',
    `${name} exists and is ${what}: remove it with 'ip link delete ${name}', ` +
      'or take another name with --dev',
  );
}

/** What keeps a link from being our device of an earlier run. */
function strangeness({ tun, kind }: link.Link): string | undefined {
  if (tun === undefined) return `of kind ${kind ?? 'hardware'}, not a TUN`;
  if (tun.mode === 'tap') return 'a TAP device, not a TUN';
  return tun.multiQueue ? undefined : 'a TUN without multi_queue';
}

function setSysctls(name: string): string[] {
  const wanted: readonly (readonly [string, string])[] = [
    [`net/ipv6/conf/${name}/disable_ipv6`, '1'],
    [`net/ipv6/conf/${name}/accept_ra`, '0'],
    // ICMP errors of ours come out of the TUN from the host's own address: martians otherwise.
    [`net/ipv4/conf/${name}/accept_local`, '1'],
  ];
  return wanted.flatMap(([path, value]) => {
    const reason = writeSysctl(path, value);
    return reason === undefined ? [] : [`${path.replaceAll('/', '.')}=${value} (${reason})`];
  });
}

async function foreignRoute(run: Run, device: TunnelDevice): Promise<string | undefined> {
  const routes = await route.listRoutes(run, formatPrefix4(device.network));
  const foreign = routes.find((found) => found.device !== device.name);
  return foreign === undefined ? undefined : route.describeRoute(foreign);
}

async function refuseForeignRoute(run: Run, device: TunnelDevice): Promise<void> {
  const foreign = await foreignRoute(run, device);
  if (foreign === undefined) return;
  throw new Fault(
    'environment',
    `another route has the overlay's network: '${foreign}'. Remove it with ` +
      `'ip route delete ${foreign}', or stop what sets it`,
  );
}

/**
 * Looks at the device and restores what others changed: MTU, address and route (the kernel drops
 * the route when the device goes down). A device that is down stays down: somebody wanted that.
 * @param index of the link that is ours; one of the same name made since is not
 */
export async function restoreDevice(
  run: Run,
  device: TunnelDevice,
  index: number,
): Promise<DeviceState> {
  const found = await link.findLink(run, device.name);
  if (found === undefined || found.index !== index) return { state: 'gone', repairs: [] };
  if (!found.up) return { state: 'down', repairs: [] };
  const repairs: string[] = [];
  if (found.mtu !== device.mtu) {
    await link.setLink(run, device.name, device.mtu, TRANSMIT_QUEUE_PACKETS);
    repairs.push(`MTU back from ${found.mtu} to ${device.mtu}`);
  }
  const address = formatAddress4(device.subnet.network);
  if (!found.addresses.some((row) => row.local === address && row.prefixLength === 32)) {
    await link.setOnlyAddress(run, found, deviceAddress(device));
    repairs.push(`address ${deviceAddress(device)}`);
  }
  repairs.push(...(await restoreRoute(run, device)));
  return { state: 'up', repairs };
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
