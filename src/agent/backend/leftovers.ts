import type { Run } from '../../linux/command.ts';
import { deleteLink, type Link, listLinks } from '../../linux/link.ts';
import { contains, type Prefix4, parseAddress4 } from '../../wire/address.ts';
import { VXLAN_NAME } from '../underlay/candidates.ts';

/** Names that flannel gives TUN devices. */
const TUN_NAME = /^flannel\d+$/;

/**
 * Removes devices that another backend, or another VNI, left behind on this node: of flannel's name
 * and kind, with the single address inside Network that flannel gives them, and held by nobody.
 * Called once the peers are reached without them.
 * @param keep the device in use, if the backend has one
 * @returns the names
 */
export async function removeLeftovers(
  run: Run,
  network: Prefix4,
  keep: string | undefined,
): Promise<string[]> {
  const left = (await listLinks(run)).filter(
    (link) => link.name !== keep && isDeviceOfFlannel(link) && isOn(link, network),
  );
  for (const { name } of left) await deleteLink(run, name);
  return left.map(({ name }) => name);
}

/** Of a name and kind that flannel gives, and held by nobody. */
export function isDeviceOfFlannel({ name, kind, tun }: Link): boolean {
  if (kind === 'vxlan') return VXLAN_NAME.test(name);
  return tun?.mode === 'tun' && tun.queues === 0 && TUN_NAME.test(name);
}

function isOn({ addresses }: Link, network: Prefix4): boolean {
  return addresses.some(
    ({ family, local, prefixLength }) =>
      family === 'inet' && prefixLength === 32 && contains(network, parseAddress4(local) ?? 0),
  );
}
