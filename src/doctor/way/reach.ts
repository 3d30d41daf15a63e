import type { Peer } from '../../api/schema.ts';
import { formatAddress4, parsePrefix4 } from '../../wire/address.ts';
import type { Carrier } from '../carrier.ts';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  noWeft,
  type Subject,
  unknown,
  wrong,
} from '../check.ts';
import { groupBy } from '../group.ts';
import { echo, isRefused, largestEcho, NoPing } from '../ping.ts';

/** Peers asked at the same time: each takes some packets and at most a few seconds. */
const AT_ONCE = 8;
/** Every IPv4 path carries this much (RFC 791). */
const LEAST_MTU = 68;
/** So many names are read at night; the rest is a number. */
const NAMED = 4;

/** Whether each peer answers through the overlay, and with packets as large as the device takes. */
export const reachCheck: Check = {
  name: 'peers',
  look: async (subject) => {
    const { status, peers, mostPeers, carrier } = subject;
    if (status === null) return [noWeft()];
    if (carrier === null) return [fine('this weft carries no packets')];
    if (peers.length === 0) return [fine('there are no peers')];
    const chosen = choose(peers, mostPeers);
    const answers: Answer[] = [];
    try {
      for (let at = 0; at < chosen.length; at += AT_ONCE) {
        const some = chosen.slice(at, at + AT_ONCE);
        answers.push(...(await Promise.all(some.map((peer) => ask(subject, carrier, peer)))));
      }
    } catch (error) {
      if (!(error instanceof NoPing)) throw error;
      return [cannotAsk(error, subject.privileged)];
    }
    return tell(subject, carrier, answers);
  },
};

/** A user without a raw socket may have one, or none, by net.ipv4.ping_group_range. */
function cannotAsk({ message }: NoPing, privileged: boolean): Finding {
  const what = `peers cannot be asked: ${message}`;
  if (/a rule of this host/.test(message)) {
    return unknown(what, 'let ICMP echo requests out; weft peers tells who was heard meanwhile');
  }
  const finding = unknown(what, 'apt-get install iputils-ping');
  return /not permitted/.test(message) && !privileged
    ? { ...finding, follows: ['rights'] }
    : finding;
}

/** Those that the probe lost first, then spread over all. */
function choose(peers: readonly Peer[], most: number): Peer[] {
  const lossy = peers.filter(({ probe }) => (probe?.lossRatio ?? 0) > 0);
  const rest = peers.filter((peer) => !lossy.includes(peer));
  const step = Math.max(1, Math.ceil(rest.length / Math.max(1, most - lossy.length)));
  return [...lossy, ...rest.filter((_, index) => index % step === 0)].slice(0, most);
}

/**
 * What came of asking: all of it, packets up to `room` bytes, or nothing through the overlay. Then
 * the host says that nobody listens (`closed`), answers an echo by itself (`deaf`), or is `silent`.
 */
interface Answer {
  readonly peer: Peer;
  readonly kind: 'well' | 'short' | 'shortInSilence' | 'closed' | 'deaf' | 'silent';
  readonly room: number;
}

async function ask(subject: Subject, carrier: Carrier, peer: Peer): Promise<Answer> {
  const { run } = subject;
  const { mtu } = carrier;
  // Pods' own addresses are not known; without a tunnel nobody has the subnet's first one.
  const inner = formatAddress4(parsePrefix4(peer.subnet)!.network);
  const target = carrier.backend === 'host-gw' ? peer.publicAddress : inner;
  if (!(await echo(run, target)).answered) return await explainSilence(subject, carrier, peer);
  const full = await echo(run, target, mtu);
  if (full.answered) return { peer, kind: 'well', room: mtu };
  const room = await largestEcho(run, target, LEAST_MTU, mtu);
  // A burst of loss, not a limit: it passes now.
  if (room === mtu - 1 && (await echo(run, target, mtu)).answered) {
    return { peer, kind: 'well', room: mtu };
  }
  const told = full.tooLong || (await echo(run, target, mtu)).tooLong;
  return { peer, kind: told ? 'short' : 'shortInSilence', room };
}

/** Who is silent: the host, its weft, or something on the way that drops UDP. */
async function explainSilence(subject: Subject, carrier: Carrier, peer: Peer): Promise<Answer> {
  const { publicAddress } = peer;
  const { port } = carrier;
  if (port !== undefined && (await isRefused(publicAddress, port))) {
    return { peer, kind: 'closed', room: 0 };
  }
  const answers = port !== undefined && (await echo(subject.run, publicAddress)).answered;
  return { peer, kind: answers ? 'deaf' : 'silent', room: 0 };
}

const MUTE = new Set<Answer['kind']>(['closed', 'deaf', 'silent']);

function tell(subject: Subject, carrier: Carrier, answers: readonly Answer[]): Finding[] {
  const well = answers.filter(({ kind }) => kind === 'well');
  const mute = answers.filter(({ kind }) => MUTE.has(kind));
  const all = subject.peers.length;
  const asked = answers.length < all ? `${answers.length} of ${all}` : 'all';
  const found: Finding[] = [];
  if (well.length > 0) {
    found.push(fine(`${well.length} peers answer with full packets (${asked} asked)`));
  }
  const short = answers.filter(({ kind }) => kind === 'short' || kind === 'shortInSilence');
  for (const rows of groupBy(short, ({ kind, room }) => `${kind} ${room}`).values()) {
    found.push(tellShort(carrier, rows));
  }
  if (mute.length === answers.length && mute.length > 1) {
    return [...found, tellCutOff(subject, carrier, mute, asked)];
  }
  for (const rows of groupBy(mute, ({ kind }) => kind).values()) {
    found.push(tellMute(carrier, rows));
  }
  return found;
}

function tellShort({ mtu }: Carrier, rows: readonly Answer[]): Finding {
  const { kind, room } = rows[0]!;
  const verb = rows.length === 1 ? 'answers' : 'answer';
  const what = `${names(rows)} ${verb} packets of ${room} bytes and none larger; the MTU is ${mtu}`;
  const cure = `--mtu ${room} on every node and in the pods, or mend the link that carries less`;
  return kind === 'short'
    ? doubtful(what, 'senders are told so, and each new flow loses its first full packets', cure)
    : wrong(what, 'nobody is told: connections stand still once they send much', cure);
}

const WHY = 'pods there and ours do not reach each other';

/** That every peer has failed at once is less likely than that this node has. */
function tellCutOff(
  { status }: Subject,
  { port }: Carrier,
  rows: readonly Answer[],
  asked: string,
): Finding {
  const count = (kind: Answer['kind']) => rows.filter((row) => row.kind === kind).length;
  const [closed, deaf, silent] = [count('closed'), count('deaf'), count('silent')];
  const parts = [
    ...(deaf > 0 ? [`${deaf} answer on the underlay, but not through UDP ${port}`] : []),
    ...(closed > 0 ? [`on ${closed} nobody listens on UDP ${port}`] : []),
    ...(silent > 0 ? [`${silent} do not answer at all`] : []),
  ];
  const underlay = status?.underlay?.name ?? 'the underlay';
  const wire = `is ${underlay} up, and its switch, router or security group right?`;
  const cure =
    silent === rows.length
      ? `${wire} ip -s link show ${underlay}; ping the gateway; then weft doctor on another node`
      : `tcpdump -ni any udp port ${port}; does a security group drop it? weft doctor on a peer`;
  return {
    ...wrong(
      `no peer answers (${asked} asked): ${parts.join('; ')}. Is this node cut off?`,
      'pods here reach none of other nodes',
      cure,
    ),
    follows: ['firewall', 'route', 'twin', 'device', 'weft'],
    peers: rows.map(({ peer }) => peer.publicAddress),
  };
}

function tellMute({ port }: Carrier, rows: readonly Answer[]): Finding {
  const { kind, peer } = rows[0]!;
  const { publicAddress } = peer;
  const name = names(rows);
  const one = rows.length === 1;
  const finding = () => {
    if (kind === 'closed') {
      const cure = `on ${publicAddress}: is weft running? does a firewall reject UDP ${port}?`;
      return wrong(`${name}: nobody listens on UDP ${port} there`, WHY, cure);
    }
    if (kind === 'deaf') {
      const verb = one ? 'answers' : 'answer';
      return wrong(
        `${name} ${verb} on the underlay, but nothing comes back through UDP ${port}`,
        `${WHY}: a firewall drops UDP ${port}, or that node does not take us for a peer`,
        `on ${publicAddress}: weft doctor; tcpdump -ni any udp port ${port}; weft status (drops)`,
      );
    }
    return wrong(
      `${name} ${one ? 'does' : 'do'} not answer at all`,
      `${WHY}: the node is dead or cut off, and stays a peer while its lease lives`,
      `ping ${publicAddress}; is the node up, its PublicIP right? ` +
        'If it is gone for good, its lease ends by itself within a day',
    );
  };
  return {
    ...finding(),
    follows: ['firewall', 'route', 'twin', 'device', 'weft'],
    peers: rows.map((row) => row.peer.publicAddress),
  };
}

function names(rows: readonly Answer[]): string {
  const named = rows.slice(0, NAMED).map(({ peer }) => `${peer.publicAddress} (${peer.subnet})`);
  const more = rows.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
