import { describeRoute, listRoutesWithin } from '../../linux/route.ts';
import { type Prefix4, parsePrefix4, prefixContains } from '../../wire/address.ts';
import { type Check, fine, noWeft, wrong } from '../check.ts';

/** Routes that take packets of the overlay away from the device. */
export const routeCheck: Check = {
  name: 'routes',
  look: async ({ run, status, carrier, peers }) => {
    if (status === null) return [noWeft()];
    const { lease } = status;
    if (lease === null || carrier === null) return [fine('this weft carries no packets')];
    const { device, backend } = carrier;
    const own = parsePrefix4(lease.subnet)!;
    // Backends of the kernel's have a route a peer, by the device or by the peer itself.
    const toPeers = new Set(backend === 'udp' ? [] : peers.map(({ subnet }) => subnet));
    const routes = await listRoutesWithin(run, lease.network);
    const foreign = routes.filter((route) => {
      const prefix = readDestination(route.destination);
      const pods = prefix !== undefined && prefixContains(own, prefix);
      return !pods && route.device !== device && !toPeers.has(route.destination);
    });
    if (foreign.length > 0) {
      return foreign.map((route) => ({
        ...wrong(
          `the route '${describeRoute(route)}' takes a part of the overlay ${lease.network}`,
          `its packets never come to ${device}`,
          `find what sets it: ip -d route show ${route.destination}; ` +
            'no other network may overlap the overlay',
        ),
        cause: 'route' as const,
      }));
    }
    if (backend !== 'udp') return [fine('nothing else takes a part of the overlay')];
    if (
      routes.some(({ destination, device: dev }) => destination === lease.network && dev === device)
    )
      return [
        fine(`${lease.network} is routed into ${device}, and nothing else takes a part of it`),
      ];
    return [
      {
        ...wrong(
          `there is no route for ${lease.network} into ${device}`,
          'packets to other nodes take the default route, and are lost',
          `ip link set ${device} up; weft sets the route again within seconds`,
        ),
        cause: 'route',
        follows: ['device'],
      },
    ];
  },
};

/** `10.244.1.7` or `10.244.1.0/24`, as ip shows them. */
function readDestination(text: string): Prefix4 | undefined {
  return parsePrefix4(text.includes('/') ? text : `${text}/32`);
}
