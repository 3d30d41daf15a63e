import type { Peer, Status } from '../../api/schema.ts';
import { byId, drawing, redraw, setText } from '../element.ts';
import type { Notable } from '../feed.ts';
import { type PeerState, peerState } from '../findings.ts';
import { bits, count } from '../format.ts';

/** More circles than this would be a cloud and no sketch. */
export const DRAWN = 16;
const [WIDTH, HEIGHT] = [460, 300];
const [CENTRE_X, CENTRE_Y] = [WIDTH / 2, HEIGHT / 2];
const [RADIUS_X, RADIUS_Y] = [168, 112];
const WORDS: Readonly<Record<PeerState, string>> = {
  fine: 'fine',
  lossy: 'lossy',
  dead: 'no answer',
  quiet: 'silent',
  unknown: 'not known',
};

interface Neighbour {
  readonly subnet: string;
  readonly address: string;
  readonly state: PeerState;
  /** 1 for next to nothing up to 6 for gigabits. */
  readonly width: number;
  readonly rate: string;
}

/** This node and its most notable neighbours: a line is as thick as there is traffic. */
export function showTopology(status: Status, { total, peers }: Notable): void {
  const drawn = chosen(peers, status.nowSeconds).map((peer): Neighbour => {
    const rate = (peer.txBytesPerSecond ?? 0) + (peer.rxBytesPerSecond ?? 0);
    const width = Math.max(1, Math.min(6, Math.log10(rate + 1) - 2));
    return {
      subnet: peer.subnet,
      address: peer.publicAddress,
      state: peerState(peer, status.nowSeconds),
      width: Math.round(width * 2) / 2,
      rate: peer.txBytesPerSecond === null ? '' : bits(rate),
    };
  });
  drawn.sort((a, b) => (a.subnet < b.subnet ? -1 : 1));
  const own = status.underlay?.address ?? '';
  const signature = JSON.stringify([status.host, own, drawn.map((one) => ({ ...one, rate: '' }))]);
  redraw(byId('topology'), signature, () => [sketch(own, drawn)]);
  const rest = total - drawn.length;
  const note =
    total === 0
      ? 'No peers yet.'
      : rest > 0
        ? `The busiest and the worst; the table has ${count(rest)} more.`
        : 'Thicker lines carry more; a broken line is a peer that does not answer.';
  setText(byId('topology-note'), note);
}

/** Peers in trouble first, then the busiest. */
function chosen(peers: readonly Peer[], nowSeconds: number): Peer[] {
  const order: readonly PeerState[] = ['dead', 'quiet', 'lossy'];
  const rank = (peer: Peer) => {
    const place = order.indexOf(peerState(peer, nowSeconds));
    return place < 0 ? order.length : place;
  };
  const rate = (peer: Peer) => peer.txBytesPerSecond ?? 0;
  return peers.toSorted((a, b) => rank(a) - rank(b) || rate(b) - rate(a)).slice(0, DRAWN);
}

function sketch(own: string, neighbours: readonly Neighbour[]): SVGSVGElement {
  const places = neighbours.map((neighbour, index) => {
    // From the top, and half a step on where that keeps labels off each other.
    const angle = (2 * Math.PI * (index + (neighbours.length > 8 ? 0.5 : 0))) / neighbours.length;
    return {
      neighbour,
      x: Math.round(CENTRE_X + RADIUS_X * Math.sin(angle)),
      y: Math.round(CENTRE_Y - RADIUS_Y * Math.cos(angle)),
    };
  });
  return drawing(
    'svg',
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: 'img',
      'aria-label': `This node and ${neighbours.length} neighbours`,
    },
    ...places.flatMap(({ neighbour, x, y }) => link(neighbour, x, y)),
    ...places.map(({ neighbour, x, y }) => node(neighbour, x, y)),
    drawing('circle', { class: 'self', cx: CENTRE_X, cy: CENTRE_Y, r: 26 }),
    drawing('text', { class: 'self', x: CENTRE_X, y: CENTRE_Y + 4 }, 'this'),
    drawing('text', { class: 'label', x: CENTRE_X, y: CENTRE_Y + 42 }, own),
  );
}

function link({ state, width }: Neighbour, x: number, y: number): SVGElement[] {
  const line = drawing('line', {
    class: `link ${state}`,
    ...{ x1: CENTRE_X, y1: CENTRE_Y, x2: x, y2: y },
    'stroke-width': width,
  });
  if (state !== 'dead') return [line];
  const [middleX, middleY] = [(CENTRE_X + x * 2) / 3, (CENTRE_Y + y * 2) / 3];
  return [
    line,
    drawing('circle', { class: 'cut', cx: middleX, cy: middleY, r: 10 }),
    drawing('text', { class: 'cut', x: middleX, y: middleY + 5 }, '✕'),
  ];
}

function node({ subnet, address, state }: Neighbour, x: number, y: number): SVGElement {
  const below = y >= CENTRE_Y;
  return drawing(
    'g',
    { class: `node ${state}` },
    drawing('title', {}, `${subnet}, ${address}: ${WORDS[state]}`),
    drawing('circle', { cx: x, cy: y, r: 9 }),
    drawing('text', { class: 'label', x, y: below ? y + 24 : y - 15 }, subnet),
  );
}
