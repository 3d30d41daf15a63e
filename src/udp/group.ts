/**
 * Brings runs to one peer by one lane side by side, so that they can be planned as fewer and longer
 * ones: pure, no kernel call. Runs of one lane and peer keep their order, and a flow has one lane
 * and one peer, so flows keep theirs.
 */
import { OUTBOX_DATAGRAMS, type Outbox, type Runs } from './runs.ts';

/**
 * Where runs are this long on the average they stay as they are: to give a datagram another place
 * costs some 12 ns, and longer runs save a message or a call, which is a microsecond, too seldom.
 */
export const LONG_RUN = 16;
/** Of the table of peers: a power of two, and never more than half full. */
const PLACES_BITS = 12;
const PLACES = 1 << PLACES_BITS;
/** A lane is a byte. */
const LANES = 256;

export interface Grouping {
  /** Runs by number, in the order found by the last `arrange` that said yes. */
  readonly order: Int32Array;
  /** Whether another order would bring short runs together that now stand apart. */
  arrange(outbox: Outbox, runs: Runs): boolean;
}

export function createGrouping(): Grouping {
  const order = new Int32Array(OUTBOX_DATAGRAMS);
  const byPeer = new Int32Array(OUTBOX_DATAGRAMS);
  const given = Int32Array.from(order, (_, run) => run);
  // Of each run: its peer and its lane, numbered as they first appear.
  const peerRank = new Int32Array(OUTBOX_DATAGRAMS);
  const laneRank = new Int32Array(OUTBOX_DATAGRAMS);
  // Open addressing; a rank is kept plus one, so that 0 is an empty place.
  const placePeer = new Int32Array(PLACES);
  const placeRank = new Int32Array(PLACES);
  const taken = new Int32Array(OUTBOX_DATAGRAMS);
  const rankOfLane = new Int32Array(LANES);
  const starts = new Int32Array(OUTBOX_DATAGRAMS + 1);

  function arrange(outbox: Outbox, runs: Runs): boolean {
    if (outbox.count >= LONG_RUN * runs.count || !alternates(outbox, runs)) return false;
    const peers = rankPeers(outbox, runs);
    const lanes = rankLanes(outbox, runs);
    // Two stable sorts, the minor key first.
    sort(peerRank, peers, given, byPeer, runs.count);
    sort(laneRank, lanes, byPeer, order, runs.count);
    for (let i = 0; i < runs.count; i++) if (order[i] !== i) return true;
    return false;
  }

  /** Nothing stands apart where the peer and lane change but once. */
  function alternates(outbox: Outbox, runs: Runs): boolean {
    const { peer, lane } = outbox;
    let changes = 0;
    for (let run = 1; run < runs.count; run++) {
      const at = runs.first[run];
      const before = runs.first[run - 1];
      if (peer[at] !== peer[before] || lane[at] !== lane[before]) changes++;
    }
    return changes > 1;
  }

  function rankPeers(outbox: Outbox, runs: Runs): number {
    let peers = 0;
    for (let run = 0; run < runs.count; run++) {
      const peer = outbox.peer[runs.first[run]];
      const place = placeOf(peer);
      if (placeRank[place] === 0) {
        placePeer[place] = peer;
        taken[peers] = place;
        placeRank[place] = ++peers;
      }
      peerRank[run] = placeRank[place] - 1;
    }
    for (let i = 0; i < peers; i++) placeRank[taken[i]] = 0;
    return peers;
  }

  function placeOf(peer: number): number {
    let place = Math.imul(peer, 0x9e3779b1) >>> (32 - PLACES_BITS);
    while (placeRank[place] !== 0 && placePeer[place] !== peer) place = (place + 1) % PLACES;
    return place;
  }

  function rankLanes(outbox: Outbox, runs: Runs): number {
    let lanes = 0;
    rankOfLane.fill(0);
    for (let run = 0; run < runs.count; run++) {
      const lane = outbox.lane[runs.first[run]];
      if (rankOfLane[lane] === 0) rankOfLane[lane] = ++lanes;
      laneRank[run] = rankOfLane[lane] - 1;
    }
    return lanes;
  }

  /** Counting sort of runs by rank; those of one rank stay as they were in `from`. */
  function sort(
    rank: Int32Array,
    ranks: number,
    from: Int32Array,
    into: Int32Array,
    count: number,
  ): void {
    for (let i = 0; i <= ranks; i++) starts[i] = 0;
    for (let i = 0; i < count; i++) starts[rank[i] + 1]++;
    for (let i = 1; i <= ranks; i++) starts[i] += starts[i - 1];
    for (let i = 0; i < count; i++) into[starts[rank[from[i]]]++] = from[i];
  }

  return { order, arrange };
}
