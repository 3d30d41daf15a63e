/**
 * DSCP and ECN at the edge of the overlay: what the outer header shows of the inner one, and what a
 * congestion mark of the underlay does to it. Outer headers are read off the underlay itself.
 */
import assert from 'node:assert/strict';
import test, { after, afterEach, before, describe } from 'node:test';
import { Capture } from '../support/capture.ts';
import { goodDatagram } from '../support/datagrams.ts';
import { frameSender } from '../support/frames.ts';
import { Weft, writeLeases } from '../support/node.ts';
import { run } from '../support/process.ts';
import { slowSum } from '../support/slow-checksum.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Outer IPv4 and UDP headers, then the packet. */
const INNER = 28;
/** DSCP values of the field: none, AF11, CS4 and EF, each with another ECN field. */
const INNER_TOS = [0x00, 0x29, 0x82, 0xb8 | 3];
/** Identification of packets that only find out whether there is a way. */
const TOO_EARLY = 1;
const idOf = (datagram: Buffer) => datagram.readUInt16BE(INNER + 4);
const NOT_ECT = 0;
const ECT_0 = 2;
const CE = 3;

describe('what the outer header shows', () => {
  let topology: Topology;
  let weft: Weft | undefined;

  before(() => {
    topology = buildTopology();
  });

  afterEach(async () => {
    await weft?.stop();
    weft = undefined;
  });

  after(() => topology?.remove());

  for (const [value, outer] of [
    ['0', INNER_TOS.map(() => 0)],
    ['46', INNER_TOS.map(() => 0xb8)],
    ['inherit', INNER_TOS.map((tos) => tos & 0xfc)],
  ] as const) {
    test(`with --dscp ${value}`, async () => {
      const [from, to] = topology.nodes;
      const args = ['--leases', writeLeases(topology), '--workers', '1', '--dscp', value];
      weft = await Weft.start(from!, args);
      const filter = `udp dst port 8285 and src ${from!.address}`;
      const capture = await Capture.start(topology, topology.underlay, 'to-n1', filter);
      const send = frameSender(from!);
      const ends = { source: from!.pod.address, destination: to!.pod.address };
      // Links that just came up lose what is sent too early.
      await waitFor('the way', () => {
        send(goodDatagram({ ...ends, identification: TOO_EARLY }));
        return capture.packets().length > 0;
      });
      for (const typeOfService of INNER_TOS) send(goodDatagram({ ...ends, typeOfService }));
      const sent = () => capture.packets().filter((packet) => idOf(packet) !== TOO_EARLY);
      await waitFor('the datagrams', () => sent().length >= INNER_TOS.length);
      const seen = sent();
      await capture.stop();
      // The ECN field stays Not-ECT outside (RFC 6040 §4.3), and the inner byte is the pod's own.
      assert.deepEqual(
        seen.map((datagram) => datagram[1]),
        outer,
      );
      assert.deepEqual(
        seen.map((datagram) => datagram[INNER + 1]),
        INNER_TOS,
      );
    });
  }
});

describe('a congestion mark of the underlay', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology();
    weft = await Weft.start(topology.nodes[0]!, ['--leases', writeLeases(topology)]);
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  /** From the other node, with that TOS outside. */
  function send(packet: Uint8Array, outer: number): void {
    const [own, peer] = topology.nodes;
    const target = `UDP-SENDTO:${own!.address}:8285,tos=${outer}`;
    run(inside(peer!.namespace, ['socat', '-u', '-', target]), { input: Buffer.from(packet) });
  }

  test('reaches a pod that speaks ECN', async () => {
    const { namespace } = topology.nodes[0]!.pod;
    const capture = await Capture.start(topology, namespace, 'eth0', 'udp dst port 9');
    await waitFor('the way', () => {
      send(goodDatagram({ identification: TOO_EARLY }), NOT_ECT);
      return capture.packets().length > 0;
    });
    const sent = [NOT_ECT, ECT_0, CE].map((outer) => {
      send(goodDatagram({ typeOfService: ECT_0 }), outer);
      return outer === CE ? CE : ECT_0;
    });
    const real = () => capture.packets().filter((packet) => packet.readUInt16BE(4) !== TOO_EARLY);
    await waitFor('the packets', () => real().length >= sent.length);
    const arrived = real();
    await capture.stop();
    assert.deepEqual(
      arrived.map((packet) => packet[1]),
      sent,
    );
    for (const packet of arrived) assert.equal(slowSum(packet, 0, 20), 0xffff, 'header checksum');
    assert.deepEqual(weft.metrics().drops('rx'), {});
  });

  test('drops the packet of a pod that does not', async () => {
    send(goodDatagram(), CE);
    await waitFor('the drop', () => weft.metrics().drops('rx').ecn_congestion === 1);
  });
});
