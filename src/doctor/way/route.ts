import {
  describeRoute,
  listRoutesWithin,
  listRules,
  lookUpRoute,
  parseDestination,
  type Route,
} from '../../linux/route.ts';
import { formatAddress4, parsePrefix4, prefixContains } from '../../wire/address.ts';
import { type Check, type Finding, fine, noWeft, type Subject, wrong } from '../check.ts';

/** Rules that are named; a host may have hundreds. */
const NAMED = 3;

/** Routes that take packets of the overlay away from the device. */
export const routeCheck: Check = {
  name: 'routes',
  look: async (subject) => {
    const { run, status, carrier, peers } = subject;
    if (status === null) return [noWeft()];
    const { lease } = status;
    if (lease === null || carrier === null) return [fine('this weft carries no packets')];
    const { device, backend } = carrier;
    const own = parsePrefix4(lease.subnet)!;
    // Backends of the kernel's have a route a peer, by the device or by the peer itself.
    const toPeers = new Set(backend === 'udp' ? [] : peers.map(({ subnet }) => subnet));
    const routes = await listRoutesWithin(run, lease.network);
    const foreign = routes.filter((route) => {
      const prefix = parseDestination(route.destination);
      const pods = prefix !== undefined && prefixContains(own, prefix);
      return !pods && route.device !== device && !toPeers.has(route.destination);
    });
    const lost = await findLost(subject);
    if (lost.length > 0) return lost;
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
    const astray = await findAstray(subject, routes);
    if (astray !== undefined) return [astray];
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

/** Peers whose PublicIP no datagram leaves for: nothing leads there, or the overlay itself. */
async function findLost({ run, carrier, peers, mostPeers }: Subject): Promise<Finding[]> {
  const { device, backend } = carrier!;
  const lost = new Map<string, string[]>();
  for (const { publicAddress } of peers.slice(0, mostPeers)) {
    const way = (await lookUpRoute(run, publicAddress))?.device;
    const isWell = way !== undefined && (way !== device || backend === 'host-gw');
    if (!isWell) lost.set(way ?? '', [...(lost.get(way ?? '') ?? []), publicAddress]);
  }
  return [...lost].map(([way, addresses]) => {
    const [first, ...more] = addresses;
    const whom = `${first}${more.length > 0 ? ` and ${more.length} more peers` : ''}`;
    const where = way === '' ? 'nowhere' : `into ${way}, the overlay itself`;
    const why = way === '' ? 'cannot be sent' : 'would go into the tunnel again, and are dropped';
    return {
      ...wrong(
        `the way to ${whom} leads ${where}`,
        `datagrams to it ${why}`,
        `find what sets it: ip route get ${first}; ip rule show; it has to lead by the underlay`,
      ),
      cause: 'route' as const,
      peers: addresses,
    };
  });
}

/** Where the main table has the way to a peer and the kernel takes another: a rule's doing. */
async function findAstray(
  { run, status, carrier, peers, mostPeers }: Subject,
  routes: readonly Route[],
): Promise<Finding | undefined> {
  const rules = await listRules(run);
  if (rules.length === 0) return undefined;
  const { device, backend } = carrier!;
  const there = new Set(routes.map(({ destination }) => destination));
  for (const { subnet } of peers.slice(0, mostPeers)) {
    const prefix = parsePrefix4(subnet);
    const covering = backend === 'udp' ? status!.lease!.network : subnet;
    if (prefix === undefined || !there.has(covering)) continue;
    const address = formatAddress4(prefix.network + 1);
    const way = (await lookUpRoute(run, address))?.device;
    // Peers on the link have no need of the tunnel, with DirectRouting.
    if (way === device || (backend === 'vxlan' && way !== undefined)) continue;
    const finding = wrong(
      `packets to ${address} of ${subnet} go to ${way ?? 'nowhere'}, not to ${device}`,
      'a routing rule comes before the main table',
      `find what sets it: ip rule show (${rules.slice(0, NAMED).join('; ')})`,
    );
    return { ...finding, cause: 'route' };
  }
  return undefined;
}
