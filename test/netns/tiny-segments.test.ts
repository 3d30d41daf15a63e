/** A superpacket of more segments than an outbox holds arrives whole, in its order. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { OUTBOX_DATAGRAMS } from '../../src/udp/runs.ts';
import { Capture } from '../support/capture.ts';
import { inject, prepareInjection } from '../support/inject.ts';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { pattern, tcp4 } from '../support/packets.ts';
import { attempt } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** What an MSS of 48 leaves beside 40 bytes of options. */
const SIZE = 8;
const SEGMENTS = 2500;
/** Where the kernel cuts, all must fit the queue of the TUN, which holds 1,000. */
const SEGMENTS_OF_KERNEL = 900;
const SEQUENCE = 5000;
const HEADERS = 20 + 60;
/** A train of 64 such segments with its headers, and the link's. */
const LONGEST = 1024;

describe('an MSS of 48', () => {
  let topology: Topology;
  let wefts: Weft[] = [];

  before(async () => {
    topology = buildTopology();
    wefts = await startAll(topology, ['--leases', writeLeases(topology), '--workers', '1']);
    prepareInjection(topology.nodes[0]!);
  });

  after(async () => {
    for (const weft of wefts) await weft.stop();
    topology?.remove();
  });

  test('thousands of segments arrive', async () => {
    assert.ok(SEGMENTS > OUTBOX_DATAGRAMS);
    const whole = wefts[0]!.metrics().sum('weft_capability', { feature: 'tun_tso' }) === 1;
    const segments = whole ? SEGMENTS : SEGMENTS_OF_KERNEL;
    const payload = pattern(segments * SIZE);
    const [from, to] = topology.nodes;
    const { namespace } = to!.pod;
    // Links that just came up lose what is sent too early.
    const ping = inside(from!.pod.namespace, ['ping', '-c1', '-W1', '-q', to!.pod.address]);
    await waitFor('a ping', () => attempt(ping).status === 0);
    const sent = () => wefts[0]!.metrics().sum('weft_packets_total', { direction: 'tx' });
    const before = sent();
    const capture = await Capture.start(topology, namespace, 'eth0', 'tcp dst port 5201', {
      longest: LONGEST,
    });
    const fields = { sequence: SEQUENCE, options: new Uint8Array(40).fill(1) };
    const ends = { source: from!.pod.address, destination: to!.pod.address };
    inject(from!, { packet: tcp4(payload, fields, { ...ends, dontFragment: true }), size: SIZE });
    const arrived = () => capture.packets().reduce((sum, { length }) => sum + length - HEADERS, 0);
    await waitFor('the payload', () => arrived() >= payload.length);
    const packets = await capture.stop();
    const received = Buffer.concat(packets.map((packet) => packet.subarray(HEADERS)));
    assert.deepEqual(received, Buffer.from(payload));
    let next = SEQUENCE;
    for (const packet of packets) {
      assert.equal(packet.readUInt32BE(24), next);
      next += packet.length - HEADERS;
    }
    for (const weft of wefts) assert.deepEqual(weft.metrics().drops('tx'), {});
    assert.equal(sent() - before, segments);
  });
});
