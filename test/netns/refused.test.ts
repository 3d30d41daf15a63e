/** What a node refuses from the wire: nothing of it arrives, and one counter says why. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { badDatagrams, goodDatagram, type Origin, sendFrom } from '../support/datagrams.ts';
import { type Metrics, Weft, writeLeases } from '../support/node.ts';
import { run } from '../support/process.ts';
import { withSeedAsync } from '../support/random.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Of each kind, in a row: kernels may hand them over as one. */
const COPIES = 5;

describe('datagrams from the wire', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology({ nodes: 3 });
    const leases = writeLeases(topology, {
      '10.244.1.0-24': { PublicIP: '192.0.2.1' },
      '10.244.2.0-24': { PublicIP: '192.0.2.2' },
      '10.244.3.0-24': { PublicIP: '192.0.2.3', BackendType: 'vxlan' },
      '10.244.4.0-24': { PublicIP: '192.0.2.4' },
    });
    weft = await Weft.start(topology.nodes[0]!, ['--leases', leases, '--workers', '1']);
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  /** Packets that weft wrote to its TUN, by the kernel's count. */
  function delivered(): number {
    const file = '/sys/class/net/flannel0/statistics/rx_packets';
    return Number(run(inside(weft.space.namespace, ['cat', file])));
  }

  async function send(origin: Origin, datagrams: readonly Uint8Array[]): Promise<void> {
    const [, peer, otherBackend] = topology.nodes;
    const namespaces = {
      peer: peer!.namespace,
      'other-backend': otherBackend!.namespace,
      outsider: topology.underlay,
    };
    await sendFrom(namespaces[origin], weft.space.address, datagrams);
  }

  function dropped(before: Metrics): number {
    const drops = Object.values(weft.metrics().newDrops(before, 'rx'));
    return drops.reduce((a, b) => a + b, 0);
  }

  test('a good datagram is delivered', async () => {
    const before = delivered();
    await send('peer', Array(COPIES).fill(goodDatagram()));
    await waitFor('the good datagrams', () => delivered() === before + COPIES);
    assert.deepEqual(weft.metrics().drops('rx'), {});
  });

  for (const { kind, reason, bytes, origin } of badDatagrams()) {
    test(`${kind}: ${reason}`, async () => {
      const [before, packets] = [weft.metrics(), delivered()];
      await send(origin, Array(COPIES).fill(bytes));
      await waitFor(`${COPIES} drops`, () => dropped(before) >= COPIES);
      assert.deepEqual(weft.metrics().newDrops(before, 'rx'), { [reason]: COPIES });
      assert.equal(delivered(), packets);
    });
  }

  test('whatever bits are flipped, each datagram is delivered or counted', async () => {
    await withSeedAsync(async (random) => {
      const [before, packets] = [weft.metrics(), delivered()];
      // None is of one byte: weft doctor knocks with such, and they are no loss.
      const flipped = Array.from({ length: 500 }, () => {
        const bytes = goodDatagram();
        for (let flips = random.between(1, 3); flips > 0; flips--) {
          bytes[random.below(40)]! ^= 1 << random.below(8);
        }
        return bytes.subarray(0, random.oneIn(4) ? random.between(2, bytes.length) : bytes.length);
      });
      await send('peer', flipped);
      // Cut down to one byte it holds no packet, and is none that is lost.
      const single = () => weft.metrics().sum('weft_sentinel_datagrams_total');
      const singles = before.sum('weft_sentinel_datagrams_total');
      const accounted = () => dropped(before) + delivered() - packets + single() - singles;
      await waitFor('every datagram', () => accounted() >= flipped.length);
      assert.equal(accounted(), flipped.length);
    });
  });
});
