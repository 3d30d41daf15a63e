import type { Run } from '../../../linux/command.ts';
import * as links from '../../../linux/link.ts';
import { writeSysctl } from '../../../linux/sysctl.ts';
import { createVxlan, type VxlanDetails, vxlanDifferences } from '../../../linux/vxlan.ts';
import { contains, formatAddress4, parseAddress4 } from '../../../wire/address.ts';
import { Fault } from '../../fault.ts';
import type { OwnLease } from '../backend.ts';
import { parseMacAddress, randomMacAddress } from './vtep.ts';

/** The device as it should be, without its address. */
export interface VxlanWish {
  readonly name: string;
  readonly mtu: number;
  readonly details: VxlanDetails;
}

/**
 * The MAC address that peers know this node by: of a device that an earlier run left, else as
 * published before, else a new one.
 * @throws Fault if something else has the name
 */
export async function chooseMacAddress(
  run: Run,
  name: string,
  published: string | undefined,
): Promise<string> {
  const found = await links.findLink(run, name);
  if (found !== undefined) requireVxlan(found);
  return parseMacAddress(found?.macAddress ?? '') ?? published ?? randomMacAddress();
}

function requireVxlan({ name, kind }: links.Link): void {
  if (kind === 'vxlan') return;
  throw new Fault(
    'environment',
    `${name} exists and is of kind ${kind ?? 'hardware'}, not a vxlan device: remove it with ` +
      `'ip link delete ${name}'`,
  );
}

/**
 * Makes the device, or sets right the one that is there: MTU and MAC address in place; one that
 * differs in what cannot be changed is made anew under the same MAC address.
 * @returns what had to be set right, in words
 */
export async function ensureDevice(
  run: Run,
  wish: VxlanWish,
  macAddress: string,
): Promise<string[]> {
  const { name, mtu, details } = wish;
  const found = await links.findLink(run, name);
  if (found !== undefined) requireVxlan(found);
  const differences = found === undefined ? [] : vxlanDifferences(found.vxlan!, details);
  if (found === undefined || differences.length > 0) {
    if (found !== undefined) await links.deleteLink(run, name);
    await makeDevice(run, wish, macAddress);
    return [`${name} (${differences.join(', ') || 'was gone'})`];
  }
  const repairs: string[] = [];
  if (found.mtu !== mtu) {
    await run(['ip', 'link', 'set', 'dev', name, 'mtu', `${mtu}`]);
    repairs.push(`MTU ${mtu} of ${name} (was ${found.mtu})`);
  }
  if (found.macAddress !== macAddress) {
    await setMacAddress(run, name, macAddress);
    repairs.push(`MAC address ${macAddress} of ${name} (was ${found.macAddress})`);
  }
  return repairs;
}

async function makeDevice(run: Run, wish: VxlanWish, macAddress: string): Promise<void> {
  const { name, mtu, details } = wish;
  try {
    await createVxlan(run, { name, mtu, macAddress }, details);
  } catch (error) {
    const { message } = error as Error;
    if (/File exists|already exists/.test(message)) throw await deviceInTheWay(run, wish);
    if (!/Unknown device type|not supported/i.test(message)) throw error;
    throw new Fault('environment', `this kernel has no vxlan: modprobe vxlan (${message})`);
  }
}

/** The kernel takes one device for each VNI and port. */
async function deviceInTheWay(run: Run, { name, details }: VxlanWish): Promise<Fault> {
  const { vni, port } = details;
  const other = (await links.listLinks(run)).find(
    ({ vxlan }) => vxlan?.vni === vni && vxlan.port === port,
  );
  return new Fault(
    'environment',
    `${name} cannot be made: ${other?.name ?? 'another device'} has VNI ${vni} on port ${port}. ` +
      'Stop what made it, or take another VNI or Port in the network config',
  );
}

/** Kept from becoming others' by udev's MACAddressPolicy, which may come late. */
async function setMacAddress(run: Run, name: string, macAddress: string): Promise<void> {
  await run(['ip', 'link', 'set', 'dev', name, 'address', macAddress]);
}

/**
 * Gives the device the lease's address and sets it up; other addresses inside Network go.
 * @returns what had to be set right, in words
 */
export async function ensureAddress(
  run: Run,
  name: string,
  own: OwnLease,
  macAddress: string,
): Promise<string[]> {
  const found = await links.findLink(run, name);
  if (found === undefined) throw new Fault('environment', `${name} vanished while it was set up`);
  const repairs: string[] = [];
  const wanted = `${formatAddress4(own.subnet.network)}/32`;
  const present = addressesInside(found, own);
  if (!present.includes(wanted)) {
    await run(['ip', 'address', 'replace', wanted, 'dev', name]);
    repairs.push(`address ${wanted} of ${name}`);
  }
  for (const stale of present.filter((text) => text !== wanted)) {
    await run(['ip', 'address', 'delete', stale, 'dev', name]);
  }
  if (found.up) return repairs;
  await links.setLinkUp(run, name);
  const now = await links.findLink(run, name);
  if (now?.macAddress !== macAddress) await setMacAddress(run, name, macAddress);
  repairs.push(`${name} (was down)`);
  return repairs;
}

function addressesInside({ addresses }: links.Link, { network }: OwnLease): string[] {
  return addresses
    .filter(
      ({ family, local }) => family === 'inet' && contains(network, parseAddress4(local) ?? 0),
    )
    .map(({ local, prefixLength }) => `${local}/${prefixLength}`);
}

/** Takes the lease's address off and sets the device down, so that nothing passes it. */
export async function closeDevice(run: Run, name: string, own: OwnLease): Promise<void> {
  const found = await links.findLink(run, name);
  if (found === undefined) return;
  await run(['ip', 'link', 'set', 'dev', name, 'down']);
  for (const address of addressesInside(found, own)) {
    await run(['ip', 'address', 'delete', address, 'dev', name]);
  }
}

/**
 * A router on the overlay would be one of a pod's: its advertisements are not for the node.
 * @returns what could not be set and why, for a warning
 */
export function refuseRouterAdvertisements(name: string): string | undefined {
  const reason = writeSysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
  return reason && `net.ipv6.conf.${name}.accept_ra=0 could not be set (${reason}): set it`;
}
