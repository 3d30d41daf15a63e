import { listLinks } from '../../linux/link.ts';
import { listNeighbours } from '../../linux/neighbour.ts';
import { lookUpRoute } from '../../linux/route.ts';
import { type Check, type Finding, fine, noWeft, type Subject, wrong } from '../check.ts';
import { groupBy } from '../group.ts';
import { echo, NoPing } from '../ping.ts';

const WHY = 'packets for one of the two go to the other, and what it sends is refused';

/** Two nodes that claim one PublicIP, and leases that are refused for other reasons. */
export const twinsCheck: Check = {
  name: 'leases',
  look: async ({ run, status, peers }) => {
    if (status === null) return [noWeft()];
    const foreign = await foreignAddress(run, status.lease?.publicAddress);
    const byAddress = groupBy(peers, ({ publicAddress }) => publicAddress);
    const shared = [...byAddress].filter(([, rows]) => rows.length > 1);
    const twins = shared.map(([address, rows]) => {
      const subnets = rows.map(({ subnet }) => subnet).join(' and ');
      return twin(`${subnets} have one PublicIP, ${address}`, address);
    });
    const refused = status.leaseSource.refusals
      .filter(({ reason }) => reason !== 'other_backend')
      .map(({ key, reason, detail }) => refusal(status.lease?.publicAddress, key, reason, detail));
    const found = [...foreign, ...twins, ...refused];
    return found.length > 0 ? found : [fine('every lease has a PublicIP of its own')];
  },
};

/**
 * Whether our PublicIP is another host's. One that is no address of ours is right behind NAT; but
 * where a host on our own link answers ARP for it, that host is who gets our packets.
 */
async function foreignAddress(run: Subject['run'], address?: string): Promise<Finding[]> {
  if (address === undefined) return [];
  const links = await listLinks(run);
  if (links.some(({ addresses }) => addresses.some(({ local }) => local === address))) return [];
  const device = await linkTo(run, address);
  if (device === undefined) return [];
  try {
    await echo(run, address, undefined, 1);
  } catch (error) {
    // The neighbour may be known without our asking.
    if (!(error instanceof NoPing)) throw error;
  }
  const rows = await listNeighbours(run, device);
  const mac = rows.find((row) => row.address === address)?.macAddress;
  if (mac === undefined) return [];
  return [
    {
      ...wrong(
        `our PublicIP, ${address}, is the address of another host: ` +
          `${mac} answers for it on ${device}`,
        'peers send packets of our pods to that host, refuse ours, and both nodes lease one subnet',
        'start weft here without --public-ip, or with an address of this node; --iface picks one',
      ),
      cause: 'twin',
    },
  ];
}

/** The link that an address is on; undefined for one behind a router, or nowhere. */
async function linkTo(run: Subject['run'], address: string): Promise<string | undefined> {
  const route = await lookUpRoute(run, address);
  return route?.gateway === undefined ? route?.device : undefined;
}

/** @param ours the PublicIP is our own: every peer may take us for the other one */
function twin(what: string, address: string, ours = false): Finding {
  const fault = wrong(
    what,
    WHY,
    `on the node that is not ${address}: its own --public-ip or --iface; ` +
      'the lease of a node that is gone for good ends by itself within a day',
  );
  return { ...fault, cause: 'twin', ...(ours ? {} : { peers: [address] }) };
}

function refusal(own: string | undefined, key: string, reason: string, detail: string): Finding {
  if (reason === 'own_public_address') {
    return twin(`the lease ${key} has our own PublicIP, ${own}`, own ?? 'this one', true);
  }
  const what = `the lease ${key} is refused: ${reason}${detail === '' ? '' : `, ${detail}`}`;
  return wrong(what, 'pods of that node are not reached from here', 'correct it at its node');
}
