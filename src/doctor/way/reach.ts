import type { Peer } from '../../api/schema.ts';
import { formatAddress4, parsePrefix4 } from '../../wire/address.ts';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  NO_WEFT,
  type Subject,
  unknown,
  wrong,
} from '../check.ts';
import { echo, isRefused, largestEcho, NoPing } from '../ping.ts';

/** Peers asked at the same time: each takes some packets and at most a few seconds. */
const AT_ONCE = 8;
/** Every IPv4 path carries this much (RFC 791). */
const LEAST_MTU = 68;

/** Whether each peer answers through the overlay, and with packets as large as the device takes. */
export const reachCheck: Check = {
  name: 'peers',
  look: async (subject) => {
    const { status, peers, mostPeers } = subject;
    if (status === null || status.device === null) return [NO_WEFT];
    if (peers.length === 0) return [fine('there are no peers')];
    const chosen = choose(peers, mostPeers);
    const findings: Finding[] = [];
    try {
      for (let at = 0; at < chosen.length; at += AT_ONCE) {
        const some = chosen.slice(at, at + AT_ONCE);
        findings.push(...(await Promise.all(some.map((peer) => ask(subject, peer)))));
      }
    } catch (error) {
      if (!(error instanceof NoPing)) throw error;
      return [unknown(`peers cannot be asked: ${error.message}`, 'apt-get install iputils-ping')];
    }
    const faults = findings.filter(({ outcome }) => outcome !== 'fine');
    const of = chosen.length < peers.length ? `${chosen.length} of ${peers.length}` : `all`;
    const well = `${findings.length - faults.length} peers answer with full packets (${of} asked)`;
    return faults.length < findings.length ? [fine(well), ...faults] : faults;
  },
};

/** Those that the probe lost first, then spread over all. */
function choose(peers: readonly Peer[], most: number): Peer[] {
  const lossy = peers.filter(({ probe }) => (probe?.lossRatio ?? 0) > 0);
  const rest = peers.filter((peer) => !lossy.includes(peer));
  const step = Math.max(1, Math.ceil(rest.length / Math.max(1, most - lossy.length)));
  return [...lossy, ...rest.filter((_, index) => index % step === 0)].slice(0, most);
}

async function ask(subject: Subject, peer: Peer): Promise<Finding> {
  const { run, status } = subject;
  const prefix = parsePrefix4(peer.subnet)!;
  const target = formatAddress4(prefix.network);
  const name = `${peer.publicAddress} (${peer.subnet})`;
  if (!(await echo(run, target)).answered) return await explainSilence(subject, peer, name);
  const { mtu } = status!.device!;
  const full = await echo(run, target, mtu);
  if (full.answered) return fine(name);
  const room = await largestEcho(run, target, LEAST_MTU, mtu);
  const cure = `--mtu ${room} on every node and in the pods, or mend the link that carries less`;
  const what = `${name} answers packets of ${room} bytes and none larger; the MTU is ${mtu}`;
  const known = full.tooLong || (await echo(run, target, mtu)).tooLong;
  return known
    ? doubtful(what, 'senders are told so, and each new flow loses its first full packets', cure)
    : wrong(what, 'nobody is told: connections stand still once they send much', cure);
}

/** Who is silent: the host, its weft, or something on the way that drops UDP. */
async function explainSilence(subject: Subject, peer: Peer, name: string): Promise<Finding> {
  const { run, port } = subject;
  const { publicAddress } = peer;
  const why = 'its pods and ours do not reach each other';
  if (await isRefused(publicAddress, port)) {
    const cure = `on ${publicAddress}: is weft running? does a firewall reject UDP ${port}?`;
    return wrong(`${name}: nobody listens on UDP ${port} there`, why, cure);
  }
  if ((await echo(run, publicAddress)).answered) {
    return wrong(
      `${name} answers on the underlay, but nothing comes back through UDP ${port}`,
      `${why}: a firewall drops UDP ${port}, or that node does not take us for a peer`,
      `on ${publicAddress}: weft doctor; tcpdump -ni any udp port ${port}; weft status (drops)`,
    );
  }
  return wrong(
    `${name} does not answer at all`,
    `${why}: the node is dead or cut off, and stays a peer while its lease lives`,
    `ping ${publicAddress}; is the node up, its PublicIP right? If it is gone for good: ` +
      removalOf(subject, peer),
  );
}

/** How the lease of a node that does not come back is taken away. */
function removalOf({ options }: Subject, { subnet }: Peer): string {
  const file = options.get('leases');
  const key = subnet.replace('/', '-');
  if (file) return `take ${key} out of ${file}`;
  return `etcdctl del ${options.get('etcd-prefix') ?? '/coreos.com/network'}/subnets/${key}`;
}
