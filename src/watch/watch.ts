/**
 * Any number of listeners on the one tap of the pumps: the pumps get a filter that is enough for
 * all, each listener gets what its own filter lets through. Pumps that are started again are
 * followed. Nothing runs, here or in the pumps, while nobody listens.
 */
import type { TappedPacket, Taps } from '../dataplane/tap/reader.ts';
import { matches } from './filter.ts';
import { unite, type Wish } from './wish.ts';

export interface Listener {
  /** Packets in the order of their time, some times a second. */
  packets(batch: readonly TappedPacket[]): void;
  /** At most so many more packets would have been among them, had the rings had room. */
  lost(count: number): void;
  /** It threw, and is told nothing any more; others are. */
  failed?(error: Error): void;
}

/** One listener's hold on the tap. */
export interface Listening {
  /** One of so many packets and of so many drops from now on. */
  tune(every: number, dropsEvery: number): void;
  /** Lets go of the tap at once; nothing is told any more. May be called again. */
  stop(): void;
}

export interface Watch {
  /** How many listen now. */
  readonly listeners: number;
  /** @throws TooManyListeners */
  listen(wish: Wish, listener: Listener): Listening;
}

/** Each costs main a look at every packet that any of them wants. */
export const MOST_LISTENERS = 8;

export class TooManyListeners extends Error {
  override readonly name = 'TooManyListeners';
}

/** How often we look whether there are other pumps now. */
const FOLLOW_EVERY_MS = 200;

interface Entry {
  wish: Wish;
  readonly listener: Listener;
  /** Matching packets since the last that was handed on, where others want more than this one. */
  skipped: number;
  skippedDrops: number;
}

/** @param taps those of the pumps there are now, undefined while there are none */
export function createWatch(taps: () => Taps | undefined): Watch {
  const entries = new Set<Entry>();
  let held: { readonly taps: Taps; readonly release: () => void } | undefined;
  let following: NodeJS.Timeout | undefined;
  /** Read in the turn before, and read in this one. */
  let older: TappedPacket[] = [];
  let fresh: TappedPacket[] = [];
  let every = { packets: 1, drops: 1 };

  /** Brings the tap in line with who listens. */
  function settle(): void {
    const now = entries.size === 0 ? undefined : taps();
    if (held !== undefined && held.taps !== now) {
      const { release } = held;
      held = undefined;
      release();
      deliver(sorted([...older, ...fresh]));
      older = [];
      fresh = [];
    }
    if (now === undefined) return;
    const filter = unite([...entries].map(({ wish }) => wish));
    every = { packets: filter.every, drops: filter.dropsEvery ?? 1 };
    if (held !== undefined) now.tune(filter);
    else held = { taps: now, release: now.listen(filter, { packet, turn, lost }) };
  }

  function packet(tapped: TappedPacket): void {
    fresh.push(tapped);
  }

  function lost(count: number): void {
    for (const entry of entries) guarded(entry, () => entry.listener.lost(count));
  }

  /** One listener's fault is not the others', and never that of who carries the packets. */
  function guarded(entry: Entry, work: () => void): void {
    try {
      work();
    } catch (error) {
      entries.delete(entry);
      entry.listener.failed?.(error as Error);
    }
  }

  /**
   * Rings are read one after the other, so a packet that this turn finds in the first may be older
   * than one that the turn before found in the last. None that is still to come can be older than
   * those of the turn before: up to the latest of them, all is known.
   */
  function turn(): void {
    const horizon = older.reduce((latest, { time }) => Math.max(latest, time), 0);
    const all = sorted([...older, ...fresh]);
    const first = all.findIndex(({ time }) => time > horizon);
    older = first < 0 ? [] : all.slice(first);
    fresh = [];
    deliver(first < 0 ? all : all.slice(0, first));
  }

  function deliver(batch: readonly TappedPacket[]): void {
    if (batch.length === 0) return;
    for (const entry of entries) {
      guarded(entry, () => {
        const own = batch.filter((tapped) => wants(entry, tapped));
        if (own.length > 0) entry.listener.packets(own);
      });
    }
  }

  /** Pumps thin out as little as the most curious listener allows; the rest is done here. */
  function wants(entry: Entry, tapped: TappedPacket): boolean {
    const { wish } = entry;
    if (!matches(wish.filter, tapped)) return false;
    if (tapped.reason === undefined) {
      if (++entry.skipped * every.packets < wish.every) return false;
      entry.skipped = 0;
    } else {
      if (++entry.skippedDrops * every.drops < wish.dropsEvery) return false;
      entry.skippedDrops = 0;
    }
    return true;
  }

  function listen(wish: Wish, listener: Listener): Listening {
    if (entries.size >= MOST_LISTENERS) {
      throw new TooManyListeners(`${MOST_LISTENERS} watch packets already`);
    }
    const entry: Entry = { wish, listener, skipped: 0, skippedDrops: 0 };
    entries.add(entry);
    settle();
    following ??= setInterval(settle, FOLLOW_EVERY_MS).unref();
    return {
      tune: (every, dropsEvery) => {
        if (every === entry.wish.every && dropsEvery === entry.wish.dropsEvery) return;
        entry.wish = { ...entry.wish, every, dropsEvery };
        if (entries.has(entry)) settle();
      },
      stop: () => {
        if (!entries.delete(entry)) return;
        settle();
        if (entries.size > 0) return;
        clearInterval(following);
        following = undefined;
      },
    };
  }

  return {
    get listeners() {
      return entries.size;
    },
    listen,
  };
}

const sorted = (packets: TappedPacket[]): TappedPacket[] => packets.sort((a, b) => a.time - b.time);
