import type { Run } from '../../../linux/command.ts';
import * as links from '../../../linux/link.ts';
import { readSysctl, sysctlName, writeSysctl } from '../../../linux/sysctl.ts';
import { createVxlan, type VxlanDetails, vxlanDifferences } from '../../../linux/vxlan.ts';
import { contains, formatAddress4, parseAddress4 } from '../../../wire/address.ts';
import { Fault } from '../../fault.ts';
import { listAttachments } from '../../udp/attachments.ts';
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
    `${name} exists and is of kind ${kind ?? 'hardware'}, not a vxlan device: take another VNI ` +
      'in the network config; or, if nothing on this host needs it, remove it with ' +
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
 * A router on the overlay would be one of a pod's: its advertisements are not for the node. Where
 * the host forwards, the device must not be left out.
 * @returns what was another value and now is right, and what could not be set and why
 */
export function setSysctls(name: string): { set: string[]; unset: string[] } {
  const wanted: (readonly [string, string])[] = [[`net/ipv6/conf/${name}/accept_ra`, '0']];
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
    else unset.push(`${setting} could not be set (${reason}): set it`);
  }
  return { set, unset };
}

/**
 * Removes a device of before on which something hangs that may hold packets up, to be made anew
 * under the same MAC address.
 * @returns what it was, for a warning; undefined where there is nothing
 */
export async function clearAttachments(run: Run, name: string): Promise<string | undefined> {
  const found = await links.findLink(run, name);
  const attached = found === undefined ? [] : await listAttachments(run, found);
  if (attached.length === 0) return undefined;
  await links.deleteLink(run, name);
  const what = attached.map((attachment) => attachment.what).join(', ');
  return `${name} was there with ${what}, which weft does not set: made anew without it`;
}
