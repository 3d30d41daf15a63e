/** Main's end of the taps: who listens, to what, and what the pumps saw. */
import { formatSockaddr, SOCKADDR_WORDS, writeSockaddr } from '../../sys/sockaddr.ts';
import type { Direction } from '../counters.ts';
import * as ring from './ring.ts';

/** One packet as a pump saw it. */
export interface TappedPacket {
  readonly direction: Direction;
  readonly worker: number;
  /** Unix time in milliseconds, with a fraction. */
  readonly time: number;
  /** Its first bytes, and how many it had. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Slot of the drop counter of its direction, or undefined for a packet that went its way. */
  readonly reason: number | undefined;
  /** Public address of the other node as text; empty where it is not known. */
  readonly peer: string;
  /** Payload bytes of each segment of a superpacket; 0 for an ordinary packet. */
  readonly segment: number;
}

/** What is wanted; what is left out is anything. Addresses are host-order uint32. */
export interface TapFilter {
  readonly packets: boolean;
  readonly drops: boolean;
  /** Bytes kept of each packet. */
  readonly snapLength: number;
  /** One of so many packets. */
  readonly every: number;
  /** One of so many drops; all if left out. */
  readonly dropsEvery?: number;
  readonly network?: { readonly network: number; readonly mask: number };
  readonly protocol?: number;
  readonly port?: number;
  /** Public address of a peer, as text. */
  readonly peer?: string;
}

export interface TapEvents {
  packet(packet: TappedPacket): void;
  /** All rings were looked at once. */
  turn?(): void;
  /** Packets that matched and were not copied, for the ring was full. */
  lost(count: number): void;
}

/**
 * How often rings are looked at while somebody listens: seldom, for each look takes a core from
 * whoever has it, pumps too; and often while a ring would not last until the next seldom look.
 */
const SELDOM_MS = 100;
const OFTEN_MS = 20;
/** What makes a look find much: a sixteenth of a ring. */
const MUCH_BYTES = 256 * 1024;
/** Bytes taken from one ring a turn, so that main does other things in between. */
const TURN_BYTES = 1024 * 1024;

export interface Taps {
  /** Whether somebody listens already: a tap has one listener, for pumps know one filter. */
  readonly taken: boolean;
  /** Listens until the result is called. @throws Error when taken */
  listen(filter: TapFilter, events: TapEvents): () => void;
  /** Another filter for whoever listens; nothing that both filters want is missed meanwhile. */
  tune(filter: TapFilter): void;
}

interface Ring {
  readonly direction: Direction;
  readonly worker: number;
  readonly words: Int32Array;
  readonly times: Float64Array;
  readonly bytes: Uint8Array;
  /** LOST as told last. */
  lost: number;
}

/**
 * @param memory RING_BYTES of each pump: first all out pumps', then all in pumps'
 */
export function createTaps(memory: SharedArrayBuffer, workers: number): Taps {
  const rings = Array.from(
    { length: 2 * workers },
    (_, pump): Ring => ({
      direction: pump < workers ? 'tx' : 'rx',
      worker: pump % workers,
      words: new Int32Array(memory, pump * ring.RING_BYTES, ring.RING_BYTES / 4),
      times: new Float64Array(memory, pump * ring.RING_BYTES, ring.RING_BYTES / 8),
      bytes: new Uint8Array(memory, pump * ring.RING_BYTES, ring.RING_BYTES),
      lost: 0,
    }),
  );
  let timer: NodeJS.Timeout | undefined;

  /** The result is how many bytes of records it took. */
  function empty(from: Ring, events: TapEvents, most: number): number {
    const { words } = from;
    const written = Atomics.load(words, ring.WRITTEN);
    let read = words[ring.READ]!;
    let taken = 0;
    while (read !== written && taken < most) {
      const at = ring.RECORDS + ((read >>> 0) % ring.RECORD_BYTES);
      const size = words[(at >> 2) + ring.RECORD_LENGTH]!;
      if (words[(at >> 2) + ring.RECORD_KEPT] !== ring.FILLER) events.packet(copy(from, at));
      read = (read + size) | 0;
      taken += size;
    }
    Atomics.store(words, ring.READ, read);
    const lost = (words[ring.LOST]! - from.lost) >>> 0;
    from.lost = words[ring.LOST]!;
    if (lost > 0) events.lost(lost);
    return taken;
  }

  function tune(filter: TapFilter): void {
    const mode = (filter.packets ? ring.MODE_PACKETS : 0) | (filter.drops ? ring.MODE_DROPS : 0);
    for (const { words } of rings) {
      words[ring.SNAP_LENGTH] = filter.snapLength;
      words[ring.EVERY] = filter.every;
      words[ring.DROPS_EVERY] = filter.dropsEvery ?? 1;
      // Between two networks there is none: no packet is measured against halves of both.
      Atomics.store(words, ring.NETWORK_MASK, 0);
      Atomics.store(words, ring.NETWORK, filter.network?.network ?? 0);
      Atomics.store(words, ring.NETWORK_MASK, filter.network?.mask ?? 0);
      words[ring.PROTOCOL] = filter.protocol ?? 0;
      words[ring.PORT] = filter.port ?? 0;
      setPeer(words, filter.peer ?? '');
      Atomics.store(words, ring.MODE, mode);
    }
  }

  /** What an earlier listener left behind is nobody's. */
  function forget(): void {
    for (const each of rings) {
      Atomics.store(each.words, ring.READ, Atomics.load(each.words, ring.WRITTEN));
      each.lost = each.words[ring.LOST]!;
    }
  }

  /** The result is what was taken from the fullest ring. */
  function look(events: TapEvents, most: number): number {
    const taken = rings.map((each) => empty(each, events, most));
    events.turn?.();
    return Math.max(...taken);
  }

  return {
    get taken() {
      return timer !== undefined;
    },
    listen(filter, events) {
      if (timer !== undefined) throw new Error('the tap is taken: one capture at a time');
      forget();
      tune(filter);
      let over = false;
      const again = (milliseconds: number): void => {
        timer = setTimeout(() => {
          const taken = look(events, TURN_BYTES);
          // Whoever listens may have had enough with what it was just told.
          if (!over) again(taken > MUCH_BYTES ? OFTEN_MS : SELDOM_MS);
        }, milliseconds);
      };
      again(OFTEN_MS);
      return () => {
        if (over) return;
        over = true;
        clearTimeout(timer);
        timer = undefined;
        for (const { words } of rings) Atomics.store(words, ring.MODE, 0);
        look(events, ring.RECORD_BYTES);
      };
    },
    tune(filter) {
      if (timer !== undefined) tune(filter);
    },
  };
}

/** Between two peers it is any: what both filters want is not missed, and main looks once more. */
function setPeer(words: Int32Array, address: string): void {
  const wanted = new Int32Array(SOCKADDR_WORDS);
  writeSockaddr(wanted, 0, address, 0);
  Atomics.store(words, ring.PEER, 0);
  words.set(wanted.subarray(1), ring.PEER + 1);
  Atomics.store(words, ring.PEER, wanted[0]!);
}

function copy(from: Ring, at: number): TappedPacket {
  const word = at >> 2;
  const { direction, worker, words, times, bytes } = from;
  const start = at + ring.RECORD_HEAD_BYTES;
  const reason = words[word + ring.RECORD_REASON]!;
  return {
    direction,
    worker,
    time: times[(at + ring.RECORD_TIME_BYTES) >> 3]!,
    bytes: bytes.slice(start, start + words[word + ring.RECORD_KEPT]!),
    length: words[word + ring.RECORD_ORIGINAL]!,
    reason: reason === ring.NOT_DROPPED ? undefined : reason,
    peer: formatSockaddr(words, word + ring.RECORD_PEER),
    segment: words[word + ring.RECORD_SEGMENT]!,
  };
}
