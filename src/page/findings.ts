import type { Peer, Status } from '../api/schema.ts';
import { ago, packetRate, percent, plural, words } from './format.ts';

/** `bad`: pods suffer; `warn`: somebody should look; `note`: good to know. */
export type Level = 'bad' | 'warn' | 'note';

export interface Finding {
  readonly level: Level;
  readonly text: string;
  /** What to do; may be empty. */
  readonly cure: string;
}

export type PeerState = 'fine' | 'lossy' | 'dead' | 'quiet' | 'unknown';

/** Fewer lost packets than this are the noise of every network. */
const DROPS_WORTH_TELLING = 0.5;
const BUSY_RATIO = 0.9;
const LOSSY_RATIO = 0.05;
/** Of a peer that we send to, something should have come back by then. */
const SILENCE_SECONDS = 60;
const OUTER_HEADERS = 28;
const PEERS_TOLD = 5;
const WAYS = { tx: 'out', rx: 'in' } as const;

/** How a peer does, from the probe where there is one, else from what came from it. */
export function peerState(peer: Peer, nowSeconds: number): PeerState {
  const { probe, lastSeenSeconds, txPackets } = peer;
  if (probe !== null && probe.sent > 0) {
    if (probe.lossRatio >= 1) return 'dead';
    return probe.lossRatio > LOSSY_RATIO ? 'lossy' : 'fine';
  }
  if (lastSeenSeconds !== null && nowSeconds - lastSeenSeconds < SILENCE_SECONDS) return 'fine';
  if (txPackets === null) return 'unknown';
  if (txPackets === 0 && lastSeenSeconds === null) return 'unknown';
  return 'quiet';
}

/** What is wrong with the node, the worst first. */
export function findings(status: Status, worst: readonly Peer[]): Finding[] {
  const all = [
    ...health(status),
    ...leases(status),
    ...device(status),
    ...peers(status, worst),
    ...drops(status),
    ...workers(status),
    ...offloads(status),
  ];
  const order: readonly Level[] = ['bad', 'warn', 'note'];
  return all.toSorted((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
}

function health({ health }: Status): Finding[] {
  const cure = 'Its pods reach no other node until this is over.';
  return [
    ...health.notReady.map((text): Finding => ({ level: 'bad', text, cure })),
    ...health.hanging.map(
      (text): Finding => ({ level: 'bad', text, cure: 'Restart weft, and keep its log.' }),
    ),
  ];
}

function leases({ leaseSource, nowSeconds }: Status): Finding[] {
  const { state, reason, lastSyncSeconds, refused, refusals } = leaseSource;
  const found: Finding[] = [];
  if (state === 'stale') {
    const since = lastSyncSeconds === null ? '' : ` since ${ago(nowSeconds - lastSyncSeconds)}`;
    found.push({
      level: 'warn',
      text: `Leases are not current${since}: ${reason}`,
      cure: 'Forwarding goes on with the last ones. New nodes are not seen.',
    });
  }
  for (const [name, number] of Object.entries(refused)) {
    if (number === 0 || name === 'other_backend') continue;
    const first = refusals.find((refusal) => refusal.reason === name);
    found.push({
      level: 'warn',
      text: `${plural(number, 'lease')} refused: ${words(name)}`,
      cure: first === undefined ? '' : `${first.key}: ${first.detail}`,
    });
  }
  return found;
}

function device({ device, underlay }: Status): Finding[] {
  if (device === null || underlay === null) return [];
  const most = underlay.mtu - OUTER_HEADERS;
  if (underlay.mtu === 0 || device.mtu <= most) return [];
  return [
    {
      level: 'bad',
      text: `MTU ${device.mtu} of ${device.name} does not fit ${underlay.name} (${underlay.mtu})`,
      cure: `Large packets are lost or fragmented: --mtu ${most}.`,
    },
  ];
}

function peers({ nowSeconds, underlay }: Status, worst: readonly Peer[]): Finding[] {
  const told = worst.map((peer): Finding | undefined => {
    const name = `${peer.subnet} (${peer.publicAddress})`;
    const port = underlay?.port ?? 8285;
    const cure = `Is that node up, and UDP ${port} open both ways?`;
    switch (peerState(peer, nowSeconds)) {
      case 'dead':
        return { level: 'bad', text: `${name} does not answer`, cure };
      case 'quiet':
        return { level: 'warn', text: `Nothing comes back from ${name}`, cure };
      case 'lossy': {
        const loss = percent(peer.probe?.lossRatio ?? 0);
        return { level: 'warn', text: `${loss} of the probes to ${name} are lost`, cure: '' };
      }
      default:
        return undefined;
    }
  });
  return told.filter((finding) => finding !== undefined).slice(0, PEERS_TOLD);
}

function drops({ drops }: Status): Finding[] {
  return drops
    .filter(({ perSecond }) => perSecond > DROPS_WORTH_TELLING)
    .toSorted((a, b) => b.perSecond - a.perSecond)
    .map(({ direction, reason, meaning, advice, perSecond }) => ({
      level: 'warn',
      text: `Losing ${packetRate(perSecond)} ${WAYS[direction]}: ${words(reason)}`,
      cure: advice === '' ? meaning : `${meaning}. ${plain(advice)}`,
    }));
}

/** Advice is written for documents too, where commands stand between backquotes. */
const plain = (text: string): string => text.replaceAll('`', '');

function workers({ workers }: Status): Finding[] {
  return workers
    .filter(({ busyRatio }) => busyRatio > BUSY_RATIO)
    .map(({ direction, worker, busyRatio }) => ({
      level: 'warn',
      text: `${direction === 'tx' ? 'Out' : 'In'} worker ${worker} is ${percent(busyRatio)} busy`,
      cure: 'It is the limit: more --workers, up to one a core.',
    }));
}

function offloads({ offloads, workers }: Status): Finding[] {
  const off = offloads.filter(({ inForce }) => !inForce);
  if (off.length === 0 || workers.length === 0) return [];
  return [
    {
      level: 'note',
      text: `${plural(off.length, 'offload')} not in force`,
      cure: `${off.map(({ name }) => words(name)).join(', ')}: costs speed, never packets.`,
    },
  ];
}
