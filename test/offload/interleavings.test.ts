import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig } from '../support/coalesce-rig.ts';
import { assertOrder, assertRebuilt } from '../support/coalesce-truths.ts';
import { createBatch, createFlow } from '../support/flows.ts';
import { withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

/** 10^5 packets, or with TEST_LONG=1 10^6 batches. */
const PACKETS = rounds(100_000);
const LONG_BATCHES = 1_000_000;
const BATCH = 128;
const MOST_FLOWS = 64;

const rig = createRig();

test('interleaved flows come out as they went in, however they are joined', () => {
  withSeed((random) => {
    const isLong = process.env.TEST_LONG === '1';
    let packetsLeft = isLong ? Number.POSITIVE_INFINITY : PACKETS;
    let joined = 0;
    let given = 0;
    for (let batch = 0; packetsLeft > 0 && batch < LONG_BATCHES; batch++) {
      const flows = Array.from({ length: random.between(1, MOST_FLOWS) }, () => createFlow(random));
      const packets = createBatch(flows, random, random.between(1, BATCH));
      const trains = rig.coalesce(packets);
      assertOrder(
        trains.flatMap(({ members }) => members),
        packets,
      );
      for (const train of trains) assertRebuilt(rig, train, packets);
      packetsLeft -= packets.length;
      given += packets.length;
      joined += packets.length - trains.length;
    }
    // Otherwise the test would say nothing.
    assert.ok(joined > given / 10, `${joined} of ${given} joined`);
  });
});
