import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, type Mock, mock, test } from 'node:test';
import type { TapEvents, TapFilter, TappedPacket, Taps } from '../../src/dataplane/tap/reader.ts';
import { parseFilter } from '../../src/watch/filter.ts';
import {
  createWatch,
  MOST_LISTENERS,
  TooManyListeners,
  type Watch,
} from '../../src/watch/watch.ts';
import type { Wish } from '../../src/watch/wish.ts';
import { tcp4, udp4 } from '../support/packets.ts';

/** A tap whose turns the test takes. */
class HandTap implements Taps {
  filter: TapFilter | undefined;
  events: TapEvents | undefined;
  readonly tunes: TapFilter[] = [];

  get taken(): boolean {
    return this.filter !== undefined;
  }

  listen(filter: TapFilter, events: TapEvents): () => void {
    assert.ok(!this.taken);
    this.filter = filter;
    this.events = events;
    return () => {
      this.filter = undefined;
      this.events?.turn?.();
      this.events = undefined;
    };
  }

  tune(filter: TapFilter): void {
    this.filter = filter;
    this.tunes.push(filter);
  }

  /** One look at the rings, and what it finds. */
  turn(...packets: TappedPacket[]): void {
    for (const packet of packets) this.events!.packet(packet);
    this.events!.turn!();
  }
}

const TCP = tcp4(new Uint8Array(4));
const UDP = udp4(new Uint8Array(4));

function packet(time: number, bytes = UDP, reason?: number): TappedPacket {
  const base = { direction: 'tx', worker: 0, peer: '192.0.2.7', segment: 0, reason } as const;
  return { ...base, time, bytes, length: bytes.length };
}

function wish(words = '', rest: Partial<Wish> = {}): Wish {
  return { filter: parseFilter(words), snapLength: 96, every: 1, dropsEvery: 1, ...rest };
}

describe('watch', () => {
  let tap: HandTap | undefined;
  let watch: Watch;
  let times: number[];
  let packets: Mock<(batch: readonly TappedPacket[]) => void>;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] });
    tap = new HandTap();
    watch = createWatch(() => tap);
    times = [];
    packets = mock.fn((batch) => void times.push(...batch.map(({ time }) => time)));
  });
  afterEach(() => mock.timers.reset());

  const listener = (seen: number[] = times) => ({
    packets: (batch: readonly TappedPacket[]) => {
      packets(batch);
      if (seen !== times) seen.push(...batch.map(({ time }) => time));
    },
    lost: () => {},
  });

  test('holds the tap while somebody listens, and no longer', () => {
    const first = watch.listen(wish('tcp'), listener());
    const second = watch.listen(wish('udp'), listener());
    assert.deepEqual([tap!.taken, watch.listeners], [true, 2]);
    first.stop();
    first.stop();
    assert.deepEqual([tap!.taken, watch.listeners, tap!.filter?.protocol], [true, 1, 17]);
    second.stop();
    assert.deepEqual([tap!.taken, watch.listeners], [false, 0]);
  });

  test('gives each listener what its own filter lets through', () => {
    const [tcp, udp, drops]: number[][] = [[], [], []];
    watch.listen(wish('tcp'), listener(tcp));
    watch.listen(wish('udp'), listener(udp));
    watch.listen(wish('drops'), listener(drops));
    tap!.turn(packet(1, TCP), packet(2, UDP), packet(3, UDP, 20), packet(4, TCP));
    tap!.turn();
    assert.deepEqual([tcp, udp, drops], [[1, 4], [2, 3], [3]]);
  });

  test('hands packets on in the order of their time, whatever the order of the rings', () => {
    watch.listen(wish(), listener());
    tap!.turn(packet(10), packet(30), packet(5), packet(20));
    assert.deepEqual(times, [], 'what came just now may have something older beside it');
    tap!.turn(packet(25), packet(50), packet(12));
    assert.deepEqual(times, [5, 10, 12, 20, 25, 30]);
    tap!.turn();
    assert.deepEqual(times, [5, 10, 12, 20, 25, 30, 50]);
    assert.equal(packets.mock.callCount(), 2);
  });

  test('thins out for each what others want more of', () => {
    const [all, some]: number[][] = [[], []];
    watch.listen(wish('', { every: 1 }), listener(all));
    const thin = watch.listen(wish('', { every: 10 }), listener(some));
    assert.equal(tap!.filter!.every, 1);
    tap!.turn(...Array.from({ length: 100 }, (_, i) => packet(i)));
    tap!.turn(packet(200, UDP, 20));
    tap!.turn();
    assert.deepEqual([all!.length, some!.length], [101, 11]);
    thin.tune(4, 1);
    assert.equal(tap!.filter!.every, 1);
  });

  test('tells pumps to thin out as much as all allow', () => {
    const first = watch.listen(wish('', { every: 10 }), listener());
    watch.listen(wish('', { every: 6, dropsEvery: 3 }), listener());
    assert.deepEqual([tap!.filter!.every, tap!.filter!.dropsEvery], [6, 1]);
    first.tune(30, 5);
    assert.deepEqual([tap!.filter!.every, tap!.filter!.dropsEvery], [6, 3]);
    const before = tap!.tunes.length;
    first.tune(30, 5);
    assert.equal(tap!.tunes.length, before, 'nothing changed');
  });

  test('follows pumps that are started again, or start late', () => {
    const old = tap!;
    tap = undefined;
    watch.listen(wish(), listener());
    tap = old;
    mock.timers.tick(1_000);
    assert.ok(old.taken);
    old.turn(packet(1));
    tap = new HandTap();
    mock.timers.tick(1_000);
    assert.deepEqual([old.taken, tap.taken], [false, true]);
    assert.deepEqual(times, [1], 'nothing of the old one is kept back');
    tap.turn(packet(2));
    tap.turn();
    assert.deepEqual(times, [1, 2]);
  });

  test('has room for so many listeners, and says so', () => {
    const all = Array.from({ length: MOST_LISTENERS }, () => watch.listen(wish(), listener()));
    assert.throws(() => watch.listen(wish(), listener()), TooManyListeners);
    all[0]!.stop();
    watch.listen(wish(), listener());
  });

  test('tells everybody what was lost', () => {
    const lost: number[] = [];
    for (const words of ['tcp', 'udp']) {
      watch.listen(wish(words), { packets: () => {}, lost: (count) => void lost.push(count) });
    }
    tap!.events!.lost(5);
    assert.deepEqual(lost, [5, 5]);
  });
});
