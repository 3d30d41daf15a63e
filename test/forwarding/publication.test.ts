import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import {
  attach,
  createPublication,
  enter,
  type Fill,
  type Publication,
  park,
  publish,
} from '../../src/forwarding/publication.ts';
import { compile, type Row, TablePatcher } from '../support/ipv4-peers.ts';
import type { ReaderReport, ReaderTask } from './publication-reader.ts';

const NETWORK = { network: 0x0a000000, length: 16 };
const OWN = { network: 0x0a000000, length: 24 };
const LEASES = 24;
const VERSIONS = 100_000;
// Three leases at most around each probe, and one over all.
const WORDS = tableCapacity(NETWORK, 3 * LEASES + 1);

const tag = (value: number) => (table: Int32Array) => {
  table.fill(value);
};

/** Every lease names the same peer, at lengths that use all three levels. */
function rowsOf(version: number): Row[] {
  return Array.from({ length: LEASES }, (_, index) => ({
    network: NETWORK.network + (index + 1) * 256,
    length: index % 2 === 0 ? 24 : 28,
    peer: version,
  }));
}

/** Makes the table of one version in the idle copy. */
type Filler = (version: number) => Fill;

const compiling: Filler = (version) => (table) => {
  assert.equal(compile(table, rowsOf(version), OWN, NETWORK), 0);
};

/**
 * The same by patches, with more to go wrong: longer leases under the probes and shorter ones over
 * them come and go, so that blocks are opened, freed and opened elsewhere.
 */
function patching(): Filler {
  const nobody = { accountOf: () => 0, release: () => undefined };
  const patcher = new TablePatcher(OWN, NETWORK, WORDS, nobody);
  return (version) => {
    const changes = rowsOf(version);
    for (const [index, { network }] of [...changes.entries()]) {
      const comes = ((version + index) & 3) === 0;
      changes.push({ network, length: 32, peer: comes ? version : 0 });
      if (index % 5 === 0) changes.push({ network, length: 25, peer: comes ? 0 : version });
    }
    changes.push({ ...NETWORK, peer: version % 3 === 0 ? version : 0 });
    return (idle, current) => {
      assert.equal(patcher.update(idle, current, changes), 0);
    };
  };
}

test('a reader sees the version published last', () => {
  const publication = createPublication(1, 4);
  const reader = attach(structuredClone(publication.memory), 0);
  assert.deepEqual(enter(reader), new Int32Array(4));
  for (let version = 1; version < 10; version++) {
    assert.ok(publish(publication, tag(version)));
    assert.deepEqual(enter(reader), new Int32Array(4).fill(version));
  }
});

test('a table in use is not refilled until its reader moves on', () => {
  const publication = createPublication(3, 1);
  const [slow, quick] = [attach(publication.memory, 0), attach(publication.memory, 2)];
  const held = enter(slow);
  assert.ok(publish(publication, tag(1)), 'the other copy is free');
  for (let attempt = 0; attempt < 3; attempt++) {
    assert.equal(enter(quick)[0], 1);
    const fill = () => assert.fail('must not fill a table in use');
    assert.equal(publish(publication, fill), false);
    assert.equal(held[0], 0);
  }
  assert.equal(enter(slow)[0], 1);
  assert.ok(publish(publication, tag(2)));
  assert.equal(publish(publication, tag(3)), false, 'now both hold version 1');
  assert.equal(enter(slow)[0], 2);
  assert.equal(publish(publication, tag(3)), false, 'one of them still does');
  assert.equal(enter(quick)[0], 2);
  assert.ok(publish(publication, tag(3)));
});

test('readers that are parked, or never came, hold up nothing', () => {
  const publication = createPublication(2, 1);
  const reader = attach(publication.memory, 0);
  enter(reader);
  park(reader);
  for (let version = 1; version <= 1000; version++) assert.ok(publish(publication, tag(version)));
  assert.equal(enter(reader)[0], 1000);
});

test('a fill that throws changes nothing', () => {
  const publication = createPublication(1, 1);
  const reader = attach(publication.memory, 0);
  assert.ok(publish(publication, tag(1)));
  const fail = () => {
    throw new Error('no table');
  };
  assert.throws(() => publish(publication, fail), /no table/);
  assert.equal(enter(reader)[0], 1);
  assert.ok(publish(publication, tag(2)));
  assert.equal(enter(reader)[0], 2);
});

test('the epoch wraps without a reader noticing', () => {
  const publication = createPublication(1, 1);
  const reader = attach(publication.memory, 0);
  for (const last of [0x7ffffffd, -3]) {
    park(reader);
    Atomics.store(publication.control, 0, last);
    for (let version = 1; version <= 6; version++) {
      assert.ok(publish(publication, tag(version)));
      assert.equal(enter(reader)[0], version);
      assert.ok(publish(publication, tag(0)));
      assert.equal(publish(publication, tag(0)), false);
      enter(reader);
    }
  }
});

// Without the second look at the epoch a reader could name a copy that is being refilled.
test('versions published while a reader enters are seen, and the newest one is held', (context) => {
  const load = Atomics.load.bind(Atomics) as (words: Int32Array, index: number) => number;
  for (let meanwhile = 0; meanwhile <= 4; meanwhile++) {
    const publication = createPublication(1, 1);
    const reader = attach(publication.memory, 0);
    let looks = 0;
    const mock = context.mock.method(Atomics, 'load', (words: Int32Array, index: number) => {
      const value = load(words, index);
      if (words !== reader.control || looks++ > 0) return value;
      for (let version = 1; version <= meanwhile; version++) publish(publication, tag(version));
      return value;
    });
    const held = enter(reader);
    mock.mock.restore();
    assert.ok(looks >= 2);
    assert.equal(held[0], meanwhile);
    assert.ok(publish(publication, tag(100)));
    assert.equal(publish(publication, tag(101)), false);
    assert.equal(held[0], meanwhile);
  }
});

test('only readers that exist attach', () => {
  const { memory } = createPublication(2, 1);
  assert.throws(() => attach(memory, 2), /no reader 2/);
  assert.throws(() => attach(memory, -1), /no reader -1/);
});

/** Publishes, trying again while a reader is in the way; fails rather than wait for ever. */
function publishSoon(publication: Publication, fill: Fill, pause: Int32Array): void {
  for (let attempt = 0; attempt < 100_000; attempt++) {
    if (publish(publication, fill)) return;
    // Gives a reader that was preempted in the middle of a breath the core to finish it.
    if (attempt > 10) Atomics.wait(pause, 0, 0, 0.1);
  }
  assert.fail('a version found no idle copy');
}

function start(task: ReaderTask): Worker {
  return new Worker(new URL('./publication-reader.js', import.meta.url), { workerData: task });
}

async function race(filler: Filler): Promise<void> {
  const publication = createPublication(2, WORDS);
  const signals = new Int32Array(new SharedArrayBuffer(8));
  publishSoon(publication, filler(1), signals.subarray(1));
  const probes = Array.from({ length: LEASES }, (_, index) => NETWORK.network + (index + 1) * 256);
  const common = { memory: publication.memory, signals, probes };
  const workers = [0, 1].map((index) => start({ ...common, index, parks: index === 1 }));
  try {
    const running = workers.map((worker) => once(worker, 'message'));
    assert.deepEqual(await Promise.all(running), [['running'], ['running']]);
    const reports = workers.map((worker) => once(worker, 'message'));
    for (let version = 2; version <= VERSIONS; version++) {
      publishSoon(publication, filler(version), signals.subarray(1));
    }
    Atomics.store(signals, 0, 1);
    for (const [report] of (await Promise.all(reports)) as [ReaderReport][]) {
      assert.equal(report.torn, 0, JSON.stringify(report));
      assert.equal(report.backwards, 0, JSON.stringify(report));
      assert.equal(report.last, VERSIONS);
      assert.ok(report.versions > 10, JSON.stringify(report));
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

test('no reader in another thread ever sees a torn table', () => race(compiling));

test('nor one that is being patched', () => race(patching()));
