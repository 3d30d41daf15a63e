import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import { after, before, describe, test } from 'node:test';
import type { LeaseSource, StopWatching } from '../../src/lease/source.ts';
import { waitFor } from '../support/waitfor.ts';
import { LogBook, Mirror } from './mirror.ts';

/** A place where leases lie, with a source that reads it, made fresh for each case. */
export interface Place {
  /** Makes the source; it logs to the book. */
  open(book: LogBook): LeaseSource;
  /** Makes these all the entries there are. Values are JSON. */
  fill(entries: ReadonlyMap<string, string>): Promise<void>;
  put(key: string, value: string): Promise<void>;
  delete(key: string): Promise<void>;
  /** From now on the source cannot read the place, until `mend`. */
  break(): Promise<void>;
  mend(): Promise<void>;
  close(): Promise<void>;
}

const VALUE = '{"PublicIP":"192.0.2.2","PublicIPv6":null}';
const OTHER = '{"PublicIP":"192.0.2.3","PublicIPv6":null}';
const TWO = new Map([
  ['10.244.2.0-24', VALUE],
  ['10.244.3.0-24', OTHER],
]);

/** A case at work: the place, its source being watched, and what came of it. */
interface Scene {
  readonly place: Place;
  readonly source: LeaseSource;
  readonly mirror: Mirror;
  readonly book: LogBook;
  watch(): StopWatching;
  shows(entries: ReadonlyMap<string, string>): Promise<void>;
  becomes(state: string): Promise<void>;
}

/** What every source must do, whatever is behind it. `begin` makes ready for all the cases. */
export function sourceCases(
  what: string,
  begin: () => Promise<{ place: () => Promise<Place>; end: () => Promise<void> }>,
): void {
  describe(`a source: ${what}`, () => {
    let world: Awaited<ReturnType<typeof begin>>;
    before(async () => {
      world = await begin();
    });
    after(() => world.end());

    for (const [name, run] of CASES) {
      test(name, async () => {
        const place = await world.place();
        const watching: StopWatching[] = [];
        try {
          await run(sceneOf(place, watching));
        } finally {
          for (const stop of watching) await stop();
          await place.close();
        }
      });
    }
  });
}

function sceneOf(place: Place, watching: StopWatching[]): Scene {
  const [mirror, book] = [new Mirror(), new LogBook()];
  const source = place.open(book);
  return {
    ...{ place, source, mirror, book },
    watch: () => {
      const stop = source.watch(mirror);
      watching.push(stop);
      return stop;
    },
    shows: async (entries) => {
      await waitFor(`the entries ${[...entries.keys()].slice(0, 5)}`, () => mirror.shows(entries));
    },
    becomes: async (state) => {
      await waitFor(`the state ${state}`, () => source.status().state === state);
    },
  };
}

const CASES: readonly (readonly [name: string, run: (scene: Scene) => Promise<void>])[] = [
  [
    'delivers what is there, once, and is synced',
    async ({ place, source, mirror, book, watch, shows, becomes }) => {
      await place.fill(TWO);
      assert.equal(source.status().state, 'connecting');
      assert.equal(source.status().lastSyncSeconds, 0);
      watch();
      await shows(TWO);
      await becomes('synced');
      assert.deepEqual([mirror.snapshots, mirror.states.at(-1)], [1, 'synced']);
      const { reason, resyncs, failures, lastSyncSeconds } = source.status();
      assert.deepEqual({ reason, resyncs, failures }, { reason: '', resyncs: 0, failures: 0 });
      assert.ok(Math.abs(lastSyncSeconds - Date.now() / 1000) < 60);
      assert.deepEqual(book.warnings(), []);
    },
  ],
  [
    'delivers an empty list where there is nothing',
    async ({ place, mirror, watch, becomes }) => {
      await place.fill(new Map());
      watch();
      await becomes('synced');
      assert.deepEqual([mirror.snapshots, mirror.entries.size], [1, 0]);
    },
  ],
  [
    'delivers nothing from inside watch, nor after stop',
    async ({ place, mirror, watch, shows }) => {
      await place.fill(TWO);
      const stop = watch();
      assert.deepEqual([mirror.snapshots, mirror.states.length], [0, 0]);
      await shows(TWO);
      await stop();
      const heard = [mirror.snapshots, mirror.batches, mirror.states.length];
      await place.put('10.244.4.0-24', VALUE);
      // A second watcher proves that the news was there to be heard.
      const second = sceneOf(place, []);
      const stopSecond = second.watch();
      await second.shows(new Map([...TWO, ['10.244.4.0-24', VALUE]]));
      await stopSecond();
      assert.deepEqual([mirror.snapshots, mirror.batches, mirror.states.length], heard);
    },
  ],
  [
    'can be stopped at once',
    async ({ place, mirror, watch }) => {
      await place.fill(TWO);
      await watch()();
      assert.equal(mirror.entries.size, 0);
    },
  ],
  [
    'follows puts, changes and deletes',
    async ({ place, watch, shows }) => {
      await place.fill(TWO);
      watch();
      await shows(TWO);
      await place.put('10.244.4.0-24', VALUE);
      await shows(new Map([...TWO, ['10.244.4.0-24', VALUE]]));
      await place.put('10.244.4.0-24', OTHER);
      await shows(new Map([...TWO, ['10.244.4.0-24', OTHER]]));
      await place.delete('10.244.2.0-24');
      await place.delete('10.244.4.0-24');
      await shows(new Map([['10.244.3.0-24', OTHER]]));
    },
  ],
  [
    'passes on bad keys and values as they are, beside good ones',
    async ({ place, watch, shows }) => {
      const odd = new Map([
        ...TWO,
        ['node 5 ✓', VALUE],
        ['__proto__', VALUE],
        ['10.244.5.0-24', '"garbage"'],
        ['10.244.6.0-24', 'null'],
        ['10.244.7.0-24', `{"PublicIP":"192.0.2.7","BackendData":"${'x'.repeat(1_400_000)}"}`],
        ['k'.repeat(5000), '[]'],
      ]);
      await place.fill(odd);
      watch();
      // What is too long does not come: of a value nothing, of a key its beginning and a digest.
      const come = new Map([...odd].slice(0, -2));
      const digest = createHash('sha256').update('k'.repeat(5000)).digest('hex').slice(0, 16);
      come.set('10.244.7.0-24', '').set(`${'k'.repeat(60)}…#${digest}`, '[]');
      await shows(come);
      await place.put('10.244.8.0-24', '7');
      await shows(come.set('10.244.8.0-24', '7'));
    },
  ],
  [
    'waits for a place that cannot be read yet, with one log line',
    async ({ place, source, mirror, book, watch, shows, becomes }) => {
      await place.fill(TWO);
      await place.break();
      watch();
      await waitFor('a first failure', () => source.status().failures > 0);
      assert.equal(source.status().state, 'connecting');
      assert.notEqual(source.status().reason, '');
      assert.equal(mirror.snapshots, 0);
      await waitFor('a log line', () => book.warnings().length === 1);
      await place.mend();
      await shows(TWO);
      await becomes('synced');
      assert.equal(book.warnings().length, 1, book.text);
    },
  ],
  [
    'keeps all entries while it is broken, and catches up after',
    async ({ place, source, mirror, book, watch, shows, becomes }) => {
      await place.fill(TWO);
      watch();
      await shows(TWO);
      await becomes('synced');
      await place.break();
      await becomes('stale');
      assert.equal(mirror.states.at(-1), 'stale');
      assert.ok(mirror.shows(TWO));
      const lost = source.status().lastSyncSeconds;
      assert.ok(lost > 0);
      await place.put('10.244.2.0-24', OTHER);
      await place.delete('10.244.3.0-24');
      await place.put('10.244.4.0-24', VALUE);
      assert.ok(mirror.shows(TWO));
      assert.equal(source.status().lastSyncSeconds, lost);
      await place.mend();
      const caughtUp = new Map([
        ['10.244.2.0-24', OTHER],
        ['10.244.4.0-24', VALUE],
      ]);
      await shows(caughtUp);
      await becomes('synced');
      assert.equal(source.status().resyncs, 1);
      assert.equal(book.warnings().length, 1, book.text);
      assert.equal(book.lines.filter(({ level }) => level === 30).length, 2, book.text);
    },
  ],
  [
    'loads 5,000 leases',
    async ({ place, mirror, watch, shows }) => {
      const many = new Map<string, string>();
      for (let i = 0; i < 5000; i++) many.set(`10.${100 + (i >> 8)}.${i & 255}.0-24`, VALUE);
      await place.fill(many);
      watch();
      await shows(many);
      assert.equal(mirror.snapshots, 1);
    },
  ],
];
