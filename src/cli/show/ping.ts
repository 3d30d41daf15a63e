import { ApiError, ask } from '../../api/client.ts';
import type { Peer, Status } from '../../api/schema.ts';
import { Pinger, type PingResult } from '../../probe/ping.ts';
import { contains, formatAddress4, parseAddress4, parsePrefix4 } from '../../wire/address.ts';
import { EXIT } from '../exit.ts';
import { renderTable } from '../format/table.ts';
import type { Paint } from '../format/terminal.ts';
import { type Look, lookCommand, show, withSocket } from './asking.ts';
import { type Hop, type HopResult, judgePing, type Moved } from './ping-verdict.ts';

export const pingCommand = lookCommand(
  {
    name: 'ping',
    summary: 'a pod or a node through the overlay, and which hop loses it',
    description:
      'Sends ICMP echo to each hop of the way to a pod or a node, small and as large as the\n' +
      'device takes: the node on the underlay, its device through the overlay, and the pod. An\n' +
      'echo goes both ways; what left this node and what came back is told apart by its counters.',
    examples: `  weft ping 10.244.2.7               a pod
  weft ping 192.0.2.2                a node, by its PublicIP
  weft ping 10.244.2.7 --size 100,1400 --count 10`,
  },
  (command) =>
    withSocket(command)
      .argument('<pod|node>', 'address of a pod, of a node, or of its subnet')
      .option('-s, --size <bytes>', "sizes of the inner packet (default: 64 and the device's MTU)")
      .option('-c, --count <count>', 'requests to each hop, of each size', '3'),
  async (look, command) => {
    const options = command.opts<{ size?: string; count: string }>();
    const whole = (name: string, text: string, least: number, most: number): number => {
      const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
      if (value >= least && value <= most) return value;
      return command.error(`${name} takes ${least} to ${most}, not '${text}'`);
    };
    const count = whole('--count', options.count, 1, 1_000);
    const sizes = options.size?.split(',').map((text) => whole('--size', text, 36, 65_000));
    return await pingAll(look, command.args[0]!, count, sizes);
  },
);

async function pingAll(
  look: Look,
  target: string,
  count: number,
  wanted: readonly number[] | undefined,
): Promise<number> {
  const status = await ask(look.socket, 'status');
  if (status.device === null) {
    const why = status.health.notReady.join('; ');
    throw new ApiError('refused', `weft has no device yet: ${why}`, 'see weft status');
  }
  const peer = await findPeer(look, status, target);
  const sizes = wanted ?? [64, status.device.mtu];
  const pinger = await Pinger.open();
  const results: HopResult[] = [];
  try {
    for (const hop of hopsTo(peer, target)) {
      const way = { socket: look.socket, pinger, subnet: peer.subnet, hop, count };
      for (const bytes of sizes) results.push(await pingHop(way, bytes));
    }
  } finally {
    pinger.close();
  }
  const verdict = judgePing(results, peer.publicAddress);
  const lines = [...render(results, look.paint), '', ...verdict.lines];
  const json = { target, peer: peer.publicAddress, subnet: peer.subnet, ...verdict, results };
  return show(look, { json, lines, exit: verdict.well ? EXIT.ordered : EXIT.trouble });
}

/** The peer that an operator means by an address inside, by a PublicIP or by a subnet. */
async function findPeer({ socket }: Look, status: Status, target: string): Promise<Peer> {
  const { peers } = await ask(socket, 'peers');
  const address = parseAddress4(target);
  const found = peers
    .filter(({ subnet, publicAddress }) => {
      const prefix = parsePrefix4(subnet);
      const inside = address !== undefined && prefix !== undefined && contains(prefix, address);
      return publicAddress === target || subnet === target || inside;
    })
    .sort((a, b) => Number(b.subnet.split('/')[1]) - Number(a.subnet.split('/')[1]))[0];
  if (found !== undefined) return found;
  const own = parsePrefix4(status.lease?.subnet ?? '');
  const ours = own !== undefined && address !== undefined && contains(own, address);
  const why = ours ? 'is of this node: no overlay is on its way' : 'is of no peer';
  throw new ApiError('refused', `${target} ${why}`, `weft trace ${target}; weft peers`);
}

function hopsTo(peer: Peer, target: string): Hop[] {
  const base = formatAddress4(parsePrefix4(peer.subnet)!.network);
  const node: Hop[] = [
    { name: 'underlay', address: peer.publicAddress },
    { name: 'device', address: base },
  ];
  const isPod = ![peer.publicAddress, peer.subnet, base].includes(target);
  return isPod ? [...node, { name: 'pod', address: target }] : node;
}

/** The outer headers of a packet inside, so that the underlay is asked with as much. */
const ENCAPSULATION_BYTES = 28;

interface Way {
  readonly socket: string;
  readonly pinger: Pinger;
  readonly subnet: string;
  readonly hop: Hop;
  readonly count: number;
}

async function pingHop(
  { socket, pinger, subnet, hop, count }: Way,
  bytes: number,
): Promise<HopResult> {
  const outer = hop.name === 'underlay' ? bytes + ENCAPSULATION_BYTES : bytes;
  const before = await countersOf(socket, subnet);
  const result = await pinger.ping({ target: hop.address, bytes: outer, count });
  const after = await countersOf(socket, subnet);
  return { ...hop, ...result, inner: bytes, moved: difference(before, after) };
}

interface Counters {
  readonly peer: Peer | undefined;
  readonly status: Status;
}

async function countersOf(socket: string, subnet: string): Promise<Counters> {
  const [{ peers }, status] = await Promise.all([
    ask(socket, 'peers', { filter: subnet }),
    ask(socket, 'status'),
  ]);
  return { peer: peers.find((row) => row.subnet === subnet), status };
}

/** Other traffic counts too, so these are at most what our echoes did. */
function difference(before: Counters, after: Counters): Moved {
  const [old, now] = [before.peer, after.peer];
  const counted = (name: 'txPackets' | 'rxPackets') => {
    const value = now?.[name] ?? null;
    return value === null ? null : value - (old?.[name] ?? 0);
  };
  const drops = after.status.drops.flatMap(({ direction, reason, packets }, index) => {
    const more = packets - (before.status.drops[index]?.packets ?? 0);
    return more > 0 ? [`${direction} ${reason} ${more}`] : [];
  });
  return { left: counted('txPackets'), cameBack: counted('rxPackets'), drops };
}

function render(results: readonly HopResult[], paint: Paint): string[] {
  const times = ({ roundTripsMs }: PingResult) => {
    if (roundTripsMs.length === 0) return '-';
    const sum = roundTripsMs.reduce((a, b) => a + b, 0);
    const all = [Math.min(...roundTripsMs), sum / roundTripsMs.length, Math.max(...roundTripsMs)];
    return `${all.map((value) => value.toFixed(2)).join(' / ')} ms`;
  };
  const plain = (value: number | null) => (value === null ? '-' : `${value}`);
  return renderTable<HopResult>(
    [
      { head: 'HOP', cell: ({ name }) => name },
      { head: 'ADDRESS', cell: ({ address }) => address },
      { head: 'BYTES', right: true, cell: ({ bytes }) => `${bytes}` },
      {
        head: 'ANSWERED',
        right: true,
        cell: ({ received, count }) => `${received}/${count}`,
        shade: ({ received, count }) => (received < count ? 'bad' : 'good'),
      },
      { head: 'MIN / AVERAGE / MAX', right: true, cell: times },
      { head: 'LEFT', right: true, cell: (row) => leftOf(row, plain) },
      { head: 'CAME BACK', right: true, cell: (row) => backOf(row, plain) },
      { head: 'SAID', cell: ({ errors }) => errors.join('; ') },
    ],
    results,
    paint,
  );
}

type Plain = (value: number | null) => string;

/** On the underlay weft has no part in it. */
const leftOf = ({ name, moved }: HopResult, plain: Plain): string =>
  name === 'underlay' ? '' : plain(moved.left);
const backOf = ({ name, moved }: HopResult, plain: Plain): string =>
  name === 'underlay' ? '' : plain(moved.cameBack);
