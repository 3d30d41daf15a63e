import { lookUpRoute } from '../../linux/route.ts';
import { sysctlName } from '../../linux/sysctl.ts';
import { formatAddress4, parsePrefix4 } from '../../wire/address.ts';
import { type Check, type Finding, fine, type Subject, wrong } from '../check.ts';

/** Forwarding between pods and the device, and the kernel's check of reverse paths. */
export const sysctlsCheck: Check = {
  name: 'sysctls',
  look: async (subject) => [forwarding(subject), ...(await reversePaths(subject))],
};

function forwarding({ sysctl, carrier }: Subject): Finding {
  const names = ['all', ...(carrier === null ? [] : [carrier.device])];
  const off = names.find((name) => sysctl(`net/ipv4/conf/${name}/forwarding`) === '0');
  if (off === undefined) return fine('net.ipv4.ip_forward is on');
  const name =
    off === 'all' ? 'net.ipv4.ip_forward' : sysctlName(`net/ipv4/conf/${off}/forwarding`);
  return wrong(
    `${name} is 0`,
    'the kernel passes nothing between the pods and the device',
    `sysctl -w ${name}=1, and the same in /etc/sysctl.d/ for the next boot`,
  );
}

/** ip-sysctl: the greater of `all` and the interface counts; 1 is strict, 2 loose. */
async function reversePaths(subject: Subject): Promise<Finding[]> {
  const { status, peers, carrier } = subject;
  // By host-gw packets of pods come in by the underlay itself.
  const device = carrier?.device;
  const underlay = status?.underlay?.name;
  const strict = [...new Set([device, underlay])].filter(
    (name) => name !== undefined && isStrict(subject, name),
  );
  if (strict.length === 0) return [fine('rp_filter drops nothing: not strict on our interfaces')];
  const faults = new Map<string, Finding>();
  for (const { subnet, publicAddress } of peers.slice(0, subject.mostPeers)) {
    const inner = parsePrefix4(subnet);
    const ways = [
      [device, inner === undefined ? undefined : formatAddress4(inner.network + 1)],
      [underlay, publicAddress],
    ] as const;
    for (const [expected, address] of ways) {
      if (expected === undefined || address === undefined || !strict.includes(expected)) continue;
      const back = (await lookUpRoute(subject.run, address))?.device;
      // One wrong way back is named; what sets it sets the others.
      if (back !== expected && !faults.has(expected)) {
        faults.set(expected, strictFault(expected, address, back));
      }
    }
  }
  if (faults.size > 0) return [...faults.values()];
  return [fine(`rp_filter is strict on ${strict.join(', ')}, and every way back leads there`)];
}

function isStrict({ sysctl }: Subject, name: string): boolean {
  const values = ['all', name].map((each) =>
    Number(sysctl(`net/ipv4/conf/${each}/rp_filter`) ?? 0),
  );
  return Math.max(...values) === 1;
}

function strictFault(expected: string, address: string, back: string | undefined): Finding {
  const name = sysctlName(`net/ipv4/conf/${expected}/rp_filter`);
  const fault = wrong(
    `rp_filter is strict on ${expected}, but the way back to ${address} is ${back ?? 'nowhere'}`,
    `the kernel silently drops packets from ${address} that come in on ${expected}`,
    `mend the route to ${address}, or sysctl -w ${name}=2`,
  );
  return { ...fault, follows: ['route'] };
}
