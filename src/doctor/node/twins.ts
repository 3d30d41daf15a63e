import { type Check, type Finding, fine, NO_WEFT, wrong } from '../check.ts';
import { groupBy } from '../group.ts';

const WHY = 'packets for one of the two go to the other, and what it sends is refused';

/** Two nodes that claim one PublicIP, and leases that are refused for other reasons. */
export const twinsCheck: Check = {
  name: 'leases',
  look: async ({ status, peers }) => {
    if (status === null) return [NO_WEFT];
    const byAddress = groupBy(peers, ({ publicAddress }) => publicAddress);
    const shared = [...byAddress].filter(([, rows]) => rows.length > 1);
    const twins = shared.map(([address, rows]) => {
      const subnets = rows.map(({ subnet }) => subnet).join(' and ');
      return twin(`${subnets} have one PublicIP, ${address}`, address);
    });
    const refused = status.leaseSource.refusals
      .filter(({ reason }) => reason !== 'other_backend')
      .map(({ key, reason, detail }) => refusal(status.lease?.publicAddress, key, reason, detail));
    const found = [...twins, ...refused];
    return found.length > 0 ? found : [fine('every lease has a PublicIP of its own')];
  },
};

function twin(what: string, address: string): Finding {
  return wrong(
    what,
    WHY,
    `on the node that is not ${address}: its own --public-ip or --iface; ` +
      'or delete the lease of a node that is gone (etcdctl get --prefix /coreos.com/network)',
  );
}

function refusal(own: string | undefined, key: string, reason: string, detail: string): Finding {
  if (reason === 'own_public_address') {
    return twin(`the lease ${key} has our own PublicIP, ${own}`, own ?? 'this one');
  }
  const what = `the lease ${key} is refused: ${reason}${detail === '' ? '' : `, ${detail}`}`;
  return wrong(what, 'pods of that node are not reached from here', 'correct it at its node');
}
