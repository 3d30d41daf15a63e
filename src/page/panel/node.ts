import type { Status } from '../../api/schema.ts';
import { byId, element, redraw, setText } from '../element.ts';
import { ago, bytes, count, duration, percent, words } from '../format.ts';

type Fact = readonly [name: string, value: string, more?: string];

/** Node, workers and ladder: what there is and how it does. */
export function showNode(status: Status): void {
  showFacts(status);
  showWorkers(status);
  showLadder(status);
}

function facts(status: Status): Fact[] {
  const { device, underlay, lease, leaseSource, nowSeconds } = status;
  const synced = leaseSource.lastSyncSeconds;
  return [
    ['Subnet', lease?.subnet ?? 'not known yet', lease === null ? '' : `of ${lease.network}`],
    [
      'Device',
      device === null ? 'not there yet' : device.name,
      device === null ? '' : `${device.up ? 'up' : 'down'}, MTU ${device.mtu}`,
    ],
    [
      'Underlay',
      underlay === null ? 'not known yet' : `${underlay.address}:${underlay.port}`,
      underlay === null ? '' : `${underlay.name}, MTU ${underlay.mtu}`,
    ],
    ...(underlay !== null && underlay.publicAddress !== underlay.address
      ? [['Seen by peers as', underlay.publicAddress] as const]
      : []),
    [
      'Leases',
      `${leaseSource.state}, ${count(leaseSource.peers)} peers`,
      synced === null ? leaseSource.name : `${leaseSource.name}, ${ago(nowSeconds - synced)}`,
    ],
    ...expiry(status),
    ['Carried', `${bytes(status.tx.bytes)} out`, `${bytes(status.rx.bytes)} in`],
    ['Up for', duration(nowSeconds - status.startedSeconds), `weft ${status.command}`],
    ['Kernel', status.kernel, `pid ${status.pid}`],
  ];
}

function expiry({ lease, nowSeconds }: Status): Fact[] {
  if (lease === null || lease.expiresSeconds === null) return [];
  return [['Lease ends', `in ${duration(lease.expiresSeconds - nowSeconds)}`]];
}

function showFacts(status: Status): void {
  const rows = facts(status);
  const list = byId('node');
  const names = rows.map(([name]) => name).join();
  redraw(list, names, () =>
    rows.map(([name]) =>
      element(
        'div',
        {},
        element('dt', {}, name),
        element('dd', {}, element('b'), ' ', element('span')),
      ),
    ),
  );
  rows.forEach(([, value, more], index) => {
    const [strong, span] = list.children[index]!.querySelectorAll('b, span');
    setText(strong!, value);
    setText(span!, more ?? '');
  });
}

function showWorkers({ workers }: Status): void {
  const list = byId('workers');
  const names = workers.map(({ direction, worker }) => `${direction}${worker}`).join();
  redraw(list, names, () =>
    workers.length === 0
      ? [element('li', {}, 'none: another process moves the packets')]
      : workers.map(({ direction, worker }) => {
          const name = `${direction === 'tx' ? 'out' : 'in'} ${worker}`;
          const meter = element('meter', { min: 0, max: 1, high: 0.9, optimum: 0 });
          meter.setAttribute('aria-label', `${name}, share of a core`);
          return element('li', {}, element('span', {}, name), meter, element('b'));
        }),
  );
  workers.forEach(({ busyRatio }, index) => {
    const item = list.children[index]!;
    const meter = item.querySelector('meter')!;
    meter.value = Math.min(1, busyRatio);
    setText(item.querySelector('b')!, percent(busyRatio));
  });
}

function showLadder({ offloads }: Status): void {
  const signature = JSON.stringify(offloads);
  redraw(byId('ladder'), signature, () =>
    offloads.map(({ name, inForce, reason }) =>
      element(
        'li',
        { 'data-state': inForce ? 'on' : 'off' },
        element('span', { class: 'rung', 'aria-hidden': 'true' }),
        element('span', {}, words(name)),
        element('b', {}, inForce ? 'on' : 'off'),
        element('span', { class: 'quiet' }, reason),
      ),
    ),
  );
}

/** Every reason that ever counted; the others would only be noise. */
export function showDrops({ drops }: Status): void {
  const seen = drops
    .filter(({ packets }) => packets > 0)
    .toSorted((a, b) => b.perSecond - a.perSecond || b.packets - a.packets);
  const rows = seen.map(({ direction, reason, meaning, packets, perSecond }) => [
    direction === 'tx' ? 'out' : 'in',
    words(reason),
    count(packets),
    perSecond > 0 ? `${perSecond.toFixed(1)}/s` : '–',
    meaning,
  ]);
  redraw(byId('drops'), JSON.stringify(rows), () => {
    if (rows.length === 0) return [element('p', { class: 'quiet' }, 'None was lost here.')];
    const head = ['way', 'reason', 'packets', 'now', 'meaning'];
    return [
      element(
        'table',
        { class: 'drops' },
        element('thead', {}, element('tr', {}, ...head.map((name) => element('th', {}, name)))),
        element(
          'tbody',
          {},
          ...rows.map((cells) =>
            element('tr', {}, ...cells.map((cell) => element('td', {}, cell))),
          ),
        ),
      ),
    ];
  });
}
