/** What can be said against a network config before anything is given up for it. */
import type { NetworkConfig } from '../../lease/network.ts';
import type { Prefix4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import type { Uplink } from '../uplink.ts';
import { type BackendContext, type BackendMaker, findMaker } from './backend.ts';
import { refuseNat } from './host-gw.ts';
import { chooseVxlanMtu, readVxlanOptions } from './vxlan/options.ts';

type Check = (context: Pick<BackendContext, 'options' | 'uplink'>) => void;

const SILENT = { warn: () => undefined };

const CHECKS: Readonly<Record<string, Check>> = {
  vxlan: ({ options, uplink }) =>
    chooseVxlanMtu(readVxlanOptions(options).underlayMtu, uplink, SILENT),
  'host-gw': ({ uplink }) => refuseNat(uplink),
};

/**
 * Backends of flannel's that carry IPv6: its nodes pass a lease with an IPv6 subnet over, IPv4 and
 * all, where the value has no BackendV6Data and no PublicIPv6 (`vxlan_network.go`,
 * `route_network.go`). `udp` and `alloc` do not look at that part.
 */
const NEED_IPV6: readonly string[] = ['vxlan', 'host-gw'];

/**
 * The network that subnets are cut from, of a config that this weft can be a member of.
 * @throws Fault for IPv6 that is asked for and not carried
 */
export function requireNetwork({ ipv4, ipv6, backend }: NetworkConfig): Prefix4 {
  if (ipv4 === null) {
    throw new Fault(
      'configuration',
      'the network config enables IPv6 alone: weft carries IPv4; set EnableIPv4 to true',
    );
  }
  if (ipv6 !== null && NEED_IPV6.includes(backend.type)) {
    throw new Fault(
      'configuration',
      `the network config enables IPv6 with Backend Type '${backend.type}', weft carries IPv4 ` +
        "alone, and flanneld's nodes would not reach a node that has an IPv6 subnet and no way " +
        'to it: set EnableIPv6 to false',
    );
  }
  return ipv4.network;
}

/**
 * Looks at a config without making anything.
 * @param more backends besides those that need no more than their context
 * @throws Fault that names the member at fault
 */
export function checkNetwork(
  network: NetworkConfig,
  uplink: Uplink,
  more: Readonly<Record<string, BackendMaker>>,
): void {
  const { type, options } = network.backend;
  findMaker(type, more);
  requireNetwork(network);
  CHECKS[type]?.({ options, uplink });
}
