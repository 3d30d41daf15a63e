import { ask } from '../../api/client.ts';
import type { Drop, Status } from '../../api/schema.ts';
import { EXIT } from '../exit.ts';
import {
  formatAge,
  formatBitRate,
  formatBytes,
  formatScaled,
  formatShare,
} from '../format/quantity.ts';
import { renderTable, wrap } from '../format/table.ts';
import type { Paint } from '../format/terminal.ts';
import { lookCommand, type Seen, showOrWatch, withSocket, withWatch } from './asking.ts';

export const statusCommand = lookCommand(
  {
    name: 'status',
    summary: 'the node at a glance',
    description:
      'Shows one screen of a running weft: whether it can forward and why not, device,\n' +
      'underlay, lease, source of leases, offloads, workers, traffic, and drops by reason.',
    examples: `  weft status
  weft status --watch                refreshed in place until Ctrl-C
  weft status -o json | jq .health`,
  },
  (command) => withWatch(withSocket(command)),
  (look, command) => {
    const see = async (): Promise<Seen> => {
      const status = await ask(look.socket, 'status');
      const { ready, alive } = status.health;
      const lines = renderStatus(status, look.paint);
      return { json: status, lines, exit: ready && alive ? EXIT.ordered : EXIT.trouble };
    };
    return showOrWatch(look, command, see);
  },
);

const WIDTH = 100;
const INDENT = '                ';

/** One screen; a line a topic. */
export function renderStatus(status: Status, paint: Paint): string[] {
  const topic = (name: string, text: string): string[] => {
    const [first = '', ...rest] = wrap(text, INDENT, WIDTH);
    return [`  ${paint('strong', name.padEnd(INDENT.length - 2))}${first.trimStart()}`, ...rest];
  };
  return [
    ...head(status, paint),
    '',
    ...topic('device', device(status)),
    ...topic('underlay', underlay(status)),
    ...topic('lease', lease(status)),
    ...topic('lease source', leaseSource(status)),
    ...networkConfig(status).flatMap((text) => topic('network config', text)),
    ...offloads(status).flatMap(([name, text]) => topic(name, text)),
    ...topic('workers', workers(status)),
    '',
    ...traffic(status, paint),
    ...drops(status, paint),
  ];
}

function head(status: Status, paint: Paint): string[] {
  const { ready, notReady, alive, hanging } = status.health;
  const verdict = ready && alive ? paint('good', 'ready') : paint('bad', 'NOT READY');
  const age = formatAge(status.nowSeconds - status.startedSeconds);
  const what = `weft ${status.version} ${status.command} on ${status.host}`;
  const title = `${paint('strong', what)}, Linux ${status.kernel}, up ${age}: ${verdict}`;
  return [title, ...[...notReady, ...hanging].map((reason) => paint('bad', `  ${reason}`))];
}

function device({ device }: Status): string {
  if (device === null) return 'none yet';
  return `${device.name} ${device.up ? 'up' : 'DOWN'}, ${device.address}, MTU ${device.mtu}`;
}

function underlay({ underlay }: Status): string {
  if (underlay === null) return 'none yet';
  const { name, address, publicAddress, mtu, port, reason } = underlay;
  const seen = publicAddress === address ? '' : `, peers see ${publicAddress}`;
  return `${name} ${address}${seen}, MTU ${mtu}, UDP port ${port} (${reason})`;
}

function lease({ lease, nowSeconds }: Status): string {
  if (lease === null) return 'none yet';
  const { subnet, network, origin, sinceSeconds, renewedSeconds, expiresSeconds, lost } = lease;
  if (lost !== null) return `LOST: ${lost}`;
  const since = `for ${formatAge(nowSeconds - sinceSeconds)}`;
  const renewed =
    renewedSeconds === null ? '' : `, renewed ${formatAge(nowSeconds - renewedSeconds)} ago`;
  const ends = expiresSeconds === null ? '' : `, ends in ${formatAge(expiresSeconds - nowSeconds)}`;
  return `${subnet} of ${network} from ${origin}, ${since}${renewed}${ends}`;
}

function leaseSource({ leaseSource, nowSeconds }: Status): string {
  const { name, state, reason, lastSyncSeconds, peers, refused, refusals } = leaseSource;
  const last =
    lastSyncSeconds === null
      ? 'never synced'
      : `synced ${formatAge(nowSeconds - lastSyncSeconds)} ago`;
  const trouble = reason === '' ? '' : `: ${reason}`;
  const counts = Object.entries(refused).filter(([, count]) => count > 0);
  const bad = counts.map(([why, count]) => `${count} ${why}`).join(', ');
  const first = refusals[0] === undefined ? '' : `, first ${refusals[0].key}`;
  const no = bad === '' ? '' : `; no peers: ${bad}${first}`;
  return `${name === '' ? 'none yet' : name} ${state}${trouble}, ${last}, ${peers} peers${no}`;
}

/** Nothing to say while all is as it should be. */
function networkConfig({ networkConfig, nowSeconds }: Status): string[] {
  if (networkConfig === null || networkConfig.inForce !== false) return [];
  const { reason, sinceSeconds } = networkConfig;
  return [`NOT IN FORCE for ${formatAge(nowSeconds - sinceSeconds)}: ${reason}`];
}

function offloads({ offloads }: Status): [string, string][] {
  if (offloads.length === 0) return [];
  const on = offloads.filter(({ inForce }) => inForce).map(({ name }) => name);
  const off = offloads.filter(({ inForce }) => !inForce);
  return [
    ['offloads', on.join(' ') || 'none'],
    ...off.map(({ name, reason }): [string, string] => ['  off', `${name}: ${reason}`]),
  ];
}

function workers({ workers }: Status): string {
  if (workers.length === 0) return 'none: this weft carries no packets';
  return workers
    .map(({ direction, worker, busyRatio }) => `${direction} ${worker} ${formatShare(busyRatio)}`)
    .join(', ')
    .concat(' busy');
}

function traffic(status: Status, paint: Paint): string[] {
  const rows = (['tx', 'rx'] as const).map((name) => ({ name, ...status[name] }));
  return renderTable(
    [
      { head: '', cell: ({ name }) => `  ${name}` },
      { head: 'PACKETS', right: true, cell: ({ packets }) => `${packets}` },
      { head: 'BYTES', right: true, cell: ({ bytes }) => formatBytes(bytes) },
      { head: 'PACKETS/S', right: true, cell: (row) => formatScaled(round(row.packetsPerSecond)) },
      { head: 'RATE', right: true, cell: (row) => formatBitRate(round(row.bytesPerSecond)) },
      { head: 'DROPPED', right: true, cell: ({ dropped }) => `${dropped}` },
      { head: 'DROPPED/S', right: true, cell: (row) => formatScaled(tenth(row.droppedPerSecond)) },
    ],
    rows,
    paint,
  );
}

const round = Math.round;
const tenth = (value: number): number => Math.round(value * 10) / 10;

function drops(status: Status, paint: Paint): string[] {
  const found = status.drops.filter(({ packets }) => packets > 0);
  if (found.length === 0) return ['', '  no packet was dropped'];
  const byRate = (a: Drop, b: Drop) => b.perSecond - a.perSecond || b.packets - a.packets;
  const table = renderTable<Drop>(
    [
      { head: '  DROPS', cell: ({ direction }) => `  ${direction}` },
      {
        head: 'REASON',
        cell: ({ reason }) => reason,
        shade: ({ perSecond }) => (perSecond > 0 ? 'bad' : undefined),
      },
      { head: 'PACKETS', right: true, cell: ({ packets }) => `${packets}` },
      { head: 'PER S', right: true, cell: ({ perSecond }) => formatScaled(tenth(perSecond)) },
      { head: 'MEANING', cell: ({ meaning }) => meaning },
    ],
    found.sort(byRate),
    paint,
  );
  return ['', ...table];
}
