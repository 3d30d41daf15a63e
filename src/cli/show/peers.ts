import { Option } from 'commander';
import { ask } from '../../api/client.ts';
import { PEER_ORDERS } from '../../api/routes.ts';
import type { Peer, Peers } from '../../api/schema.ts';
import { EXIT } from '../exit.ts';
import {
  formatAge,
  formatBitRate,
  formatBytes,
  formatScaled,
  formatShare,
  UNKNOWN,
} from '../format/quantity.ts';
import { type Column, renderTable } from '../format/table.ts';
import type { Paint } from '../format/terminal.ts';
import { lookCommand, type Seen, showOrWatch, withSocket, withWatch } from './asking.ts';

export const peersCommand = lookCommand(
  {
    name: 'peers',
    summary: 'a row a peer: traffic, drops, path MTU, round trip and loss',
    description:
      'Lists the peers of a running weft. A value that is not known, or not measured here, is -.',
    examples: `  weft peers
  weft peers --sort=-rx-rate --limit 20      who sends most; - turns the order round
  weft peers --filter 10.244.7.9             the peer behind that address
  weft peers --sort=-loss --watch`,
  },
  (command) =>
    withWatch(withSocket(command))
      .addOption(
        new Option('-s, --sort <column>', `${PEER_ORDERS.join(', ')}; -COLUMN turns it round`)
          .choices(PEER_ORDERS.flatMap((name) => [name, `-${name}`]))
          .default('subnet'),
      )
      .option('-f, --filter <text>', 'a part of subnet or address, or an address inside the subnet')
      .option('-n, --limit <rows>', 'at most so many rows'),
  (look, command) => {
    const { sort, filter, limit } = command.opts<Record<string, string | undefined>>();
    const see = async (): Promise<Seen> => {
      const peers = await ask(look.socket, 'peers', { sort, filter, limit });
      return { json: peers, lines: renderPeers(peers, look.paint), exit: EXIT.ordered };
    };
    return showOrWatch(look, command, see);
  },
);

const plain = (value: number | null): string => (value === null ? UNKNOWN : `${value}`);
const total = (a: number | null, b: number | null): number | null =>
  a === null && b === null ? null : (a ?? 0) + (b ?? 0);

export function renderPeers(answer: Peers, paint: Paint): string[] {
  const seen = ({ lastSeenSeconds }: Peer) =>
    lastSeenSeconds === null ? UNKNOWN : formatAge(answer.nowSeconds - lastSeenSeconds);
  const columns: Column<Peer>[] = [
    { head: 'SUBNET', cell: ({ subnet }) => subnet },
    { head: 'ADDRESS', cell: ({ publicAddress }) => publicAddress },
    { head: 'TX PKTS', right: true, cell: (peer) => formatScaled(peer.txPackets) },
    { head: 'TX', right: true, cell: (peer) => formatBytes(peer.txBytes) },
    { head: 'TX RATE', right: true, cell: (peer) => rateOf(peer.txBytesPerSecond) },
    { head: 'RX PKTS', right: true, cell: (peer) => formatScaled(peer.rxPackets) },
    { head: 'RX', right: true, cell: (peer) => formatBytes(peer.rxBytes) },
    { head: 'RX RATE', right: true, cell: (peer) => rateOf(peer.rxBytesPerSecond) },
    {
      head: 'DROPS',
      right: true,
      cell: (peer) => plain(total(peer.txDrops, peer.rxDrops)),
      shade: (peer) => ((total(peer.txDrops, peer.rxDrops) ?? 0) > 0 ? 'doubtful' : undefined),
    },
    { head: 'SEEN', right: true, cell: seen },
    { head: 'MTU', right: true, cell: ({ pathMtu }) => plain(pathMtu) },
    { head: 'RTT', right: true, cell: roundTrip },
    {
      head: 'LOSS',
      right: true,
      cell: ({ probe }) => (probe === null ? UNKNOWN : formatShare(probe.lossRatio)),
      shade: ({ probe }) =>
        (probe?.lossRatio ?? 0) >= 1 ? 'bad' : (probe?.lossRatio ?? 0) > 0 ? 'doubtful' : undefined,
    },
  ];
  return [...renderTable(columns, answer.peers, paint), ...foot(answer, paint)];
}

const rateOf = (rate: number | null): string =>
  formatBitRate(rate === null ? null : Math.round(rate));

function roundTrip({ probe }: Peer): string {
  if (probe === null || probe.roundTripMs === null) return UNKNOWN;
  return `${probe.roundTripMs.toFixed(2)} ms`;
}

function foot({ peers, matched, total: all, probe }: Peers, paint: Paint): string[] {
  const shown = peers.length === all ? `${all} peers` : `${peers.length} of ${all} peers`;
  const cut = peers.length < matched ? `, ${matched} match` : '';
  const lines = ['', paint('quiet', `${shown}${cut}`)];
  if (!probe.running) lines.push(paint('quiet', `no round trips: ${probe.reason}`));
  return lines;
}
