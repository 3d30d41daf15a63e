import { type Link, listLinks } from '../../linux/link.ts';
import { contains, parseAddress4, parsePrefix4 } from '../../wire/address.ts';
import type { Carrier } from '../carrier.ts';
import { type Check, doubtful, type Finding, fine, noWeft, type Subject, wrong } from '../check.ts';

/** Whether packets of the pods fit the device, and those of the device the underlay. */
export const mtuCheck: Check = {
  name: 'mtu',
  look: async (subject) => {
    const { status, carrier, run } = subject;
    if (status === null) return [noWeft()];
    const { underlay } = status;
    if (carrier === null || underlay === null) return [fine('this weft carries no packets')];
    const links = await listLinks(run);
    const mtuOf = (name: string) => links.find((link) => link.name === name)?.mtu;
    const inner = mtuOf(carrier.device) ?? carrier.mtu;
    const outer = mtuOf(underlay.name) ?? underlay.mtu;
    return [fits(carrier, inner, underlay.name, outer), ...pods(subject, links, inner)];
  },
};

function fits(carrier: Carrier, inner: number, underlay: string, outer: number): Finding {
  const { device, overhead } = carrier;
  const room = outer - overhead;
  if (inner <= room) return fine(`MTU ${inner} of ${device} fits ${outer} of ${underlay}`);
  return wrong(
    `MTU ${inner} of ${device} is over the ${room} that ${underlay} has room for`,
    'full packets do not pass: connections stand still once they send much',
    `start weft with --mtu ${room}, or without --mtu; pods need it too`,
  );
}

/** Bridges and the like that hold an address of our subnet are where pods are attached. */
function pods({ status, carrier }: Subject, links: readonly Link[], inner: number): Finding[] {
  const subnet = parsePrefix4(status?.lease?.subnet ?? '');
  if (subnet === undefined) return [];
  const ours = links.filter(({ name, addresses }) => {
    const own = addresses.map(({ local }) => parseAddress4(local)).filter((a) => a !== undefined);
    return name !== carrier!.device && own.some((address) => contains(subnet, address));
  });
  return ours
    .filter(({ mtu }) => mtu > inner)
    .map(({ name, mtu }) =>
      doubtful(
        `pods on ${name} may send ${mtu} bytes, the device takes ${inner}`,
        'each new flow loses its first full packets, and UDP of that size is lost',
        `give pods MTU ${inner}: "mtu" of the CNI plugin; ip link set ${name} mtu ${inner}`,
      ),
    );
}
