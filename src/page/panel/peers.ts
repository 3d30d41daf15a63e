import type { Peer, Peers } from '../../api/schema.ts';
import { byId, element, setText } from '../element.ts';
import type { PeersWish } from '../feed.ts';
import { type PeerState, peerState } from '../findings.ts';
import { ago, bits, count, milliseconds, percent } from '../format.ts';

/** A first page, and what each press of the button adds. */
const STEP = 100;
/** A table that long is read by nobody; the search finds the rest. */
const MOST = 1_000;
const SETTLE_MS = 200;

interface Column {
  readonly title: string;
  /** The server's name for the order by it. */
  readonly order?: string;
  readonly text: (peer: Peer, nowSeconds: number) => string;
  readonly numeric?: boolean;
}

const known = <Value>(value: Value | null | undefined, text: (value: Value) => string): string =>
  value == null ? '–' : text(value);

/** A mark and a word for each state: colour is never alone. */
const STATES: Readonly<Record<PeerState, string>> = {
  fine: '● fine',
  lossy: '◐ lossy',
  dead: '✕ no answer',
  quiet: '○ silent',
  unknown: '· not known',
};

const COLUMNS: readonly Column[] = [
  { title: 'Subnet', order: 'subnet', text: (peer) => peer.subnet },
  { title: 'Node', order: 'address', text: (peer) => peer.publicAddress },
  { title: 'State', text: (peer, now) => STATES[peerState(peer, now)] },
  {
    title: 'Out',
    order: '-tx-rate',
    numeric: true,
    text: (peer) => known(peer.txBytesPerSecond, bits),
  },
  {
    title: 'In',
    order: '-rx-rate',
    numeric: true,
    text: (peer) => known(peer.rxBytesPerSecond, bits),
  },
  {
    title: 'Lost',
    order: '-drops',
    numeric: true,
    text: ({ txDrops, rxDrops }) =>
      known(txDrops === null && rxDrops === null ? null : (txDrops ?? 0) + (rxDrops ?? 0), count),
  },
  {
    title: 'Last seen',
    order: '-seen',
    numeric: true,
    text: (peer, now) => known(peer.lastSeenSeconds, (at) => ago(now - at)),
  },
  { title: 'Path MTU', order: 'mtu', numeric: true, text: (peer) => known(peer.pathMtu, String) },
  {
    title: 'Round trip',
    order: '-rtt',
    numeric: true,
    text: (peer) => known(peer.probe?.roundTripMs, milliseconds),
  },
  {
    title: 'Loss',
    order: '-loss',
    numeric: true,
    text: (peer) => known(peer.probe?.lossRatio, percent),
  },
];

const turned = (order: string): string => (order.startsWith('-') ? order.slice(1) : `-${order}`);

/** The table of peers: the server sorts and filters, rows are kept and only their texts change. */
export class PeersTable {
  private sort = 'subnet';
  private limit = STEP;
  private readonly search = byId('search') as HTMLInputElement;
  private readonly more = byId('more') as HTMLButtonElement;
  private readonly table = byId('peers-table');
  private readonly rows = new Map<string, HTMLTableRowElement>();
  private readonly changed: () => void;

  /** @param changed called when other rows are wanted than are shown */
  constructor(changed: () => void) {
    this.changed = changed;
    this.drawHead();
    let settling: ReturnType<typeof setTimeout> | undefined;
    this.search.addEventListener('input', () => {
      clearTimeout(settling);
      settling = setTimeout(() => this.ask({ limit: STEP }), SETTLE_MS);
    });
    this.more.addEventListener('click', () => this.ask({ limit: this.limit + STEP }));
    document.addEventListener('keydown', (event) => this.onKey(event));
  }

  wish(): PeersWish {
    return { sort: this.sort, filter: this.search.value.trim(), limit: this.limit };
  }

  show({ peers, total, matched, nowSeconds, probe }: Peers): void {
    const body = this.table.querySelector('tbody')!;
    const present = new Set(peers.map(({ subnet }) => subnet));
    for (const [subnet, row] of this.rows) {
      if (present.has(subnet)) continue;
      row.remove();
      this.rows.delete(subnet);
    }
    peers.forEach((peer, index) => {
      const row = this.rowOf(peer);
      if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
      row.dataset.state = peerState(peer, nowSeconds);
      COLUMNS.forEach(({ text }, column) => {
        setText(row.children[column]!, text(peer, nowSeconds));
      });
    });
    this.tell(peers.length, matched, total);
    setText(byId('peers-note'), probe.running ? '' : `No round trips: ${probe.reason}.`);
  }

  private tell(shown: number, matched: number, total: number): void {
    const filtered = matched === total ? '' : ` of ${count(total)}`;
    const text =
      shown === matched
        ? `${count(matched)}${filtered === '' ? ' in all' : filtered}`
        : `first ${count(shown)} of ${count(matched)}${filtered === '' ? '' : ' found'}`;
    setText(byId('peers-count'), matched === 0 ? `none${filtered}` : text);
    this.more.hidden = shown >= matched || this.limit >= MOST;
    setText(this.more, `Show ${STEP} more`);
  }

  private ask({ limit = this.limit, sort = this.sort }): void {
    this.limit = Math.min(limit, MOST);
    this.sort = sort;
    this.drawHead();
    this.changed();
  }

  /** `/` leads to the search as in other lists, Escape empties it. */
  private onKey(event: KeyboardEvent): void {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.search.focus();
    } else if (event.key === 'Escape' && event.target === this.search) {
      this.search.value = '';
      this.ask({ limit: STEP });
    }
  }

  private rowOf(peer: Peer): HTMLTableRowElement {
    const found = this.rows.get(peer.subnet);
    if (found !== undefined) return found;
    const cells = COLUMNS.map(({ title, numeric }, index) =>
      element(index === 0 ? 'th' : 'td', {
        scope: index === 0 ? 'row' : undefined,
        class: numeric === true ? 'number' : undefined,
        'data-title': title,
      }),
    );
    const row = element('tr', {}, ...cells);
    this.rows.set(peer.subnet, row);
    return row;
  }

  private drawHead(): void {
    const head = this.table.querySelector('thead')!;
    if (head.children.length === 0) head.append(element('tr', {}, ...COLUMNS.map(headCell)));
    COLUMNS.forEach(({ order }, index) => {
      const cell = head.querySelectorAll('th')[index]!;
      const button = cell.querySelector('button');
      if (order === undefined || button === null) return;
      const own = this.sort === order || this.sort === turned(order);
      const falls = this.sort.startsWith('-');
      cell.setAttribute('aria-sort', own ? (falls ? 'descending' : 'ascending') : 'none');
      button.onclick = () => this.ask({ sort: this.sort === order ? turned(order) : order });
    });
  }
}

function headCell({ title, order, numeric }: Column): HTMLTableCellElement {
  const attributes = { scope: 'col', class: numeric === true ? 'number' : undefined };
  const label = order === undefined ? title : element('button', { type: 'button' }, title);
  return element('th', attributes, label);
}
