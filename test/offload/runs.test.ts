import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOutbox, createRuns, type Outbox, planRuns, RUN_BYTES } from '../../src/udp/runs.ts';
import { withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const OUTBOXES = rounds(20_000);
const PEER = 0x0a000002;

interface Datagram {
  size: number;
  peer: number;
  typeOfService: number;
  lane: number;
}

/** First datagram, how many, bytes together. */
type Run = [first: number, length: number, bytes: number];

function datagram(size: number, rest: Partial<Datagram> = {}): Datagram {
  return { size, peer: PEER, typeOfService: 0, lane: 0, ...rest };
}

function repeated(count: number, size: number): Datagram[] {
  return Array.from({ length: count }, () => datagram(size));
}

function outboxOf(datagrams: readonly Datagram[]): Outbox {
  const outbox = createOutbox();
  outbox.count = datagrams.length;
  for (const [i, { size, peer, typeOfService, lane }] of datagrams.entries()) {
    outbox.size[i] = size;
    outbox.peer[i] = peer;
    outbox.typeOfService[i] = typeOfService;
    outbox.lane[i] = lane;
  }
  return outbox;
}

function plan(datagrams: readonly Datagram[], most: number, from = 0): Run[] {
  const runs = createRuns();
  planRuns(outboxOf(datagrams), from, { datagrams: most }, runs);
  const indexes = Array.from({ length: runs.count }, (_, run) => run);
  return indexes.map((run) => [runs.first[run], runs.length[run], runs.bytes[run]]);
}

/** The twin: a datagram joins the list of the run before it if the whole list stays sendable. */
function slowPlan(datagrams: readonly Datagram[], most: number, from: number): Run[] {
  const lists: Datagram[][] = [];
  for (const next of datagrams.slice(from)) {
    const last = lists.at(-1);
    if (last !== undefined && sendable([...last, next], most)) last.push(next);
    else lists.push([next]);
  }
  let first = from;
  return lists.map((list) => {
    const run: Run = [first, list.length, bytesOf(list)];
    first += list.length;
    return run;
  });
}

function sendable(list: readonly Datagram[], most: number): boolean {
  const [head] = list;
  const alike = list.every(
    ({ peer, typeOfService, lane }) =>
      peer === head.peer && typeOfService === head.typeOfService && lane === head.lane,
  );
  const equal = list.slice(0, -1).every(({ size }) => size === head.size);
  const lastFits = list[list.length - 1].size <= head.size;
  // A run is bounded as though its last datagram were whole: the kernel divides before it looks.
  const bytes = head.size * list.length;
  return alike && equal && lastFits && list.length <= most && bytes <= 65_507;
}

function bytesOf(list: readonly Datagram[]): number {
  return list.reduce((sum, { size }) => sum + size, 0);
}

test('runs equal their slow twin, and hold every datagram once and in order', () => {
  withSeed((random) => {
    for (let round = 0; round < OUTBOXES; round++) {
      const sizes = [random.between(1, 2000), random.between(1, 2000), random.between(1, 65_507)];
      const rarely = random.pick([2, 10, 1000]);
      const state = datagram(sizes[0]);
      const datagrams = Array.from({ length: random.below(140) }, () => {
        if (random.oneIn(rarely)) state.size = random.pick(sizes);
        if (random.oneIn(rarely)) state.peer = random.pick([PEER, PEER + 1, -5]);
        if (random.oneIn(rarely)) state.typeOfService = random.pick([0, 1, 2, 3, 0xb8]);
        if (random.oneIn(rarely)) state.lane = random.below(3);
        return { ...state };
      });
      const most = random.pick([1, 2, 63, 64, 127]);
      const from = random.below(datagrams.length + 1);
      const runs = plan(datagrams, most, from);
      assert.deepEqual(runs, slowPlan(datagrams, most, from));
      let next = from;
      for (const [first, length] of runs) {
        assert.equal(first, next);
        next += length;
      }
      assert.equal(next, datagrams.length);
    }
  });
});

test('nothing waiting plans no run', () => {
  assert.deepEqual(plan([], 63), []);
  assert.deepEqual(plan(repeated(3, 100), 63, 3), []);
});

test('equal datagrams form one run', () => {
  assert.deepEqual(plan(repeated(44, 1400), 63), [[0, 44, 44 * 1400]]);
});

test('a shorter datagram ends the run it joins', () => {
  const datagrams = [...repeated(3, 1400), datagram(100), datagram(100)];
  assert.deepEqual(plan(datagrams, 63), [
    [0, 4, 4300],
    [4, 1, 100],
  ]);
});

test('a longer datagram begins a run', () => {
  assert.deepEqual(plan([datagram(100), ...repeated(2, 1400)], 63), [
    [0, 1, 100],
    [1, 2, 2800],
  ]);
});

test('a run is no longer than the kernel takes', () => {
  for (const most of [1, 63, 127]) {
    const runs = plan(repeated(2 * most + 1, 100), most);
    assert.deepEqual(
      runs.map(([, length]) => length),
      [most, most, 1],
    );
  }
});

test('a run carries at most 65,507 bytes', () => {
  assert.equal(RUN_BYTES, 65_535 - 20 - 8);
  const lengths = (datagrams: Datagram[]) => plan(datagrams, 127).map(([, length]) => length);
  // 65,507 is 65,507 times 1, and 3 times 21,835 and two.
  assert.deepEqual(lengths(repeated(4, 21_835)), [3, 1]);
  assert.deepEqual(lengths(repeated(4, 21_836)), [2, 2]);
  assert.deepEqual(lengths(repeated(2, 65_507)), [1, 1]);
  assert.deepEqual(lengths([datagram(65_507), datagram(1)]), [1, 1]);
});

test('a datagram longer than any run still has a run of its own', () => {
  assert.deepEqual(plan([datagram(65_535), datagram(10)], 63), [
    [0, 1, 65_535],
    [1, 1, 10],
  ]);
});

test('peers, lanes and types of service never share a run', () => {
  for (const rest of [{ peer: PEER + 1 }, { lane: 1 }, { typeOfService: 1 }]) {
    const runs = plan([datagram(100), datagram(100, rest), datagram(100, rest)], 63);
    assert.deepEqual(runs, [
      [0, 1, 100],
      [1, 2, 200],
    ]);
  }
});
