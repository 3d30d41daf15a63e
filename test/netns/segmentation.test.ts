/** Our segments are the kernel's, byte for byte: the same superpackets through both. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { compareIn, prepareNamespace } from '../support/kernel-segmentation.ts';
import { buildTopology, type Topology } from '../support/topology.ts';

const FRAMES = process.env.TEST_LONG === '1' ? 10_000_000 : 120_000;

describe('segmentation beside the kernel', () => {
  let topology: Topology;

  before(() => {
    topology = buildTopology({ nodes: 1 });
  });

  after(() => topology?.remove());

  test(`${FRAMES} frames are equal`, async () => {
    const { namespace } = topology.nodes[0]!;
    prepareNamespace(namespace);
    const { status, stdout, stderr } = await compareIn(namespace, FRAMES);
    assert.equal(status, 0, stderr);
    const counts = JSON.parse(stdout) as Record<string, number>;
    const kinds = Object.values(counts);
    assert.ok(kinds.reduce((a, b) => a + b, 0) >= FRAMES);
    // Every kind has its share: IPv4 and IPv6, TCP and, where the kernel takes it, UDP.
    assert.ok(kinds.length >= 2 && Math.min(...kinds) > FRAMES / 20, stdout);
  });
});
