/** In which order a batch leaves: lanes and peers together, each flow as it came. */
import assert from 'node:assert/strict';
import test, { afterEach } from 'node:test';
import { LONG_RUN } from '../../src/udp/group.ts';
import { createEgressRig, type EgressRig, FIRST_LANE_FD } from '../support/egress-rig.ts';
import { withSeed } from '../support/random.ts';

let rig: EgressRig;

afterEach(() => rig.restore());

const shapes = () => rig.calls.map(({ messages }) => messages.map(({ numbers }) => numbers.length));

test('four flows in turn on four lanes take four calls', () => {
  rig = createEgressRig({}, { lanes: 4 });
  for (let i = 0; i < 64; i++) rig.add({ size: 92, lane: i % 4 });
  rig.flush();
  assert.deepEqual(shapes(), [[16], [16], [16], [16]]);
});

test('four peers in turn on one lane take one call of four runs', () => {
  rig = createEgressRig();
  for (let i = 0; i < 64; i++) rig.add({ size: 92, peer: 1 + (i % 4) });
  rig.flush();
  assert.deepEqual(shapes(), [[16, 16, 16, 16]]);
});

test('each lane takes one call, however its peers come', () => {
  rig = createEgressRig({}, { lanes: 2 });
  for (let i = 0; i < 64; i++) rig.add({ size: 92, lane: i % 2, peer: 1 + (i % 8) });
  rig.flush();
  assert.deepEqual(shapes(), [
    [8, 8, 8, 8],
    [8, 8, 8, 8],
  ]);
});

test('long runs stay where they are, short ones come together', () => {
  rig = createEgressRig();
  for (let turn = 0; turn < 8; turn++) rig.addMany(LONG_RUN, { size: 92, peer: 1 + (turn % 2) });
  rig.flush();
  for (let turn = 0; turn < 8; turn++) {
    rig.addMany(LONG_RUN - 1, { size: 92, peer: 1 + (turn % 2) });
  }
  rig.flush();
  const short = LONG_RUN - 1;
  assert.deepEqual(shapes(), [Array(8).fill(LONG_RUN), [4 * short, 4 * short]]);
});

test('single datagrams by one lane leave as they came', () => {
  rig = createEgressRig({}, { datagrams: 1 });
  for (let i = 0; i < 64; i++) rig.add({ size: 92, peer: 1 + (i % 4) });
  rig.flush();
  const numbers = rig.sent.flatMap((message) => message.numbers);
  assert.deepEqual(
    numbers,
    Array.from({ length: 64 }, (_, i) => i),
  );
});

test('single datagrams by four lanes take four calls', () => {
  rig = createEgressRig({}, { lanes: 4, datagrams: 1 });
  for (let i = 0; i < 64; i++) rig.add({ size: 92, lane: i % 4 });
  rig.flush();
  assert.equal(rig.calls.length, 4);
});

test('nothing is lost, and each lane and peer keeps its order', () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const lanes = random.pick([1, 2, 4, 16]);
      const peers = random.pick([1, 2, 5, 200]);
      const rarely = random.pick([1, 2, 20]);
      rig = createEgressRig({}, { lanes, datagrams: random.pick([1, 63, 127]) });
      const wanted = new Map<string, number[]>();
      const state = { lane: 0, peer: 1, size: 100, typeOfService: 0 };
      for (let i = random.below(600); i > 0; i--) {
        if (random.oneIn(rarely)) state.lane = random.below(lanes);
        if (random.oneIn(rarely)) state.peer = random.below(peers);
        if (random.oneIn(rarely)) state.size = random.pick([21, 40, 100, 1400]);
        if (random.oneIn(20)) state.typeOfService = random.pick([0, 8]);
        const { lane, peer, typeOfService } = state;
        const key = `${lane} ${peer}`;
        const line = rig.add({ ...state, peer: peer % 16 === 0 ? 1 : peer }) * 2 ** 24;
        const keyed = peer % 16 === 0 ? `${lane} 1` : key;
        wanted.set(keyed, [...(wanted.get(keyed) ?? []), line + state.size * 256 + typeOfService]);
      }
      rig.flush();
      const got = new Map<string, number[]>();
      for (const { fd, messages } of rig.calls) {
        for (const { peer, numbers, sizes, typeOfService } of messages) {
          const key = `${fd - FIRST_LANE_FD} ${peer}`;
          const lines = numbers.map((n, i) => n * 2 ** 24 + sizes[i]! * 256 + typeOfService);
          got.set(key, [...(got.get(key) ?? []), ...lines]);
        }
      }
      assert.deepEqual(new Map([...got].sort()), new Map([...wanted].sort()));
      // As many runs as left were planned at the least; so few datagrams each are rearranged.
      const arranged = rig.pushed < LONG_RUN * rig.sent.length;
      for (let lane = 0; arranged && lane < lanes; lane++) {
        const calls = rig.calls.filter(({ fd }) => fd === FIRST_LANE_FD + lane);
        const messages = calls.reduce((sum, each) => sum + each.messages.length, 0);
        assert.equal(calls.length, Math.ceil(messages / 255));
      }
      rig.restore();
    }
  });
});
