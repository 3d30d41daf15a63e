/** Whatever IPv4 carries, it arrives as it was sent; only the hops' TTL and its checksum differ. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Capture } from '../support/capture.ts';
import { frameSender } from '../support/frames.ts';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { anyPacket, hex, hopped, IP, namedPackets } from '../support/protocol-packets.ts';
import { withSeedAsync } from '../support/random.ts';
import { buildTopology, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

for (const [mode, hops] of [
  ['keep', 2],
  ['flannel', 4],
] as const) {
  describe(`inner packets with --ttl ${mode} lose ${hops} hops and nothing else`, () => {
    let topology: Topology;
    let wefts: Weft[] = [];
    let capture: Capture;
    let send: (packet: Uint8Array) => void;
    let seen = 0;

    before(async () => {
      topology = buildTopology();
      const leases = writeLeases(topology);
      wefts = await startAll(topology, ['--leases', leases, '--workers', '1', '--ttl', mode]);
      const [from, to] = topology.nodes;
      send = frameSender(from!);
      capture = await Capture.start(topology, to!.pod.namespace, 'eth0', `src ${IP.source}`);
    });

    after(async () => {
      await capture?.stop();
      for (const weft of wefts) await weft.stop();
      topology?.remove();
    });

    async function assertArrive(sent: readonly Uint8Array[]): Promise<void> {
      for (const packet of sent) send(packet);
      await waitFor('the packets', () => capture.packets().length >= seen + sent.length);
      const arrived = capture.packets().slice(seen);
      seen += arrived.length;
      assert.deepEqual(
        arrived.map(hex),
        sent.map((packet) => hex(hopped(packet, hops))),
      );
    }

    for (const [name, sent] of Object.entries(namedPackets())) {
      test(name, () => assertArrive(sent));
    }

    test('any 100 packets', async () => {
      await withSeedAsync((random) =>
        assertArrive(Array.from({ length: 100 }, () => anyPacket(random))),
      );
    });
  });
}
