/**
 * Whatever offload a pod asks for, it is carried, dropped by the kernel, or counted under a reason
 * that lays it to a sender: never under the one that accuses the kernel.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Weft, writeLeases } from '../support/node.ts';
import { pattern, tcp4, udp4 } from '../support/packets.ts';
import { withSeedAsync } from '../support/random.ts';
import type { VirtioWords } from '../support/slow-segment.ts';
import { honestHeader, unfinished } from '../support/superpackets.ts';
import { buildTopology, type Topology } from '../support/topology.ts';
import { sendVnetFrames, type VnetFrame } from '../support/vnet-frames.ts';
import { waitFor } from '../support/waitfor.ts';

const ENDS = { source: '10.244.1.2', destination: '10.244.2.2' };
const SIZE = 1000;
const TCP = tcp4(pattern(3 * SIZE), {}, ENDS);
const UDP = udp4(pattern(3 * SIZE), {}, ENDS);
const SMALL = udp4(pattern(100), {}, ENDS);
const LONG = tcp4(pattern(9 * SIZE), {}, ENDS);
const PLAIN_GSO = { gsoType: 0, gsoSize: 0 };
const RANDOM_FRAMES = 300;

function frame(packet: Uint8Array, lie: Partial<VirtioWords>, whole = packet): VnetFrame {
  return {
    packet: unfinished(packet),
    header: { ...honestHeader({ packet: whole, size: SIZE }), ...lie },
  };
}

const byte = (packet: Uint8Array, at: number, value: number) => packet.with(at, value);

/** No kernel refuses these so far: more segments than any TCP makes. */
const CARRIED_ON = Array<VnetFrame>(3).fill(frame(LONG, { gsoSize: 1 }));

/** Newer kernels refuse most of them at the packet socket (virtio_net_hdr_to_skb). */
const FRAMES: readonly (readonly [string, VnetFrame])[] = [
  ['honest TCP', frame(TCP, {})],
  ['honest UDP', frame(UDP, {})],
  ['TCP in segments of one byte', frame(TCP, { gsoSize: 1 })],
  ['UDP in segments of one byte', frame(UDP, { gsoSize: 1 })],
  ['a TCP header under 20 bytes', { ...frame(TCP, {}), packet: byte(TCP, 32, 0x40) }],
  ['a TCP header longer than what follows', { ...frame(TCP, {}), packet: byte(TCP, 32, 0xf0) }],
  ['TCPv6 of an IPv4 packet', frame(TCP, { gsoType: 4 })],
  ['UDP segments of TCP', frame(TCP, { gsoType: 5 })],
  ['TCP segments of UDP', frame(UDP, { gsoType: 1 })],
  ['UDP fragments (UFO)', frame(UDP, { gsoType: 3 })],
  ['ECN on UDP', frame(UDP, { gsoType: 0x85 })],
  ['segments, and no checksum to finish', frame(TCP, { flags: 0 })],
  ['segments, and a checksum said to be valid', frame(TCP, { flags: 2 })],
  ['RSC information', frame(TCP, { flags: 5 })],
  ['a size of zero', frame(TCP, { gsoSize: 0 })],
  ['a checksum within the IP header', frame(SMALL, { ...PLAIN_GSO, checksumStart: 4 })],
  ['a checksum before the packet', frame(SMALL, { ...PLAIN_GSO, checksumStart: 0xfff8 })],
  ['a checksum of the IP header', frame(SMALL, { ...PLAIN_GSO, checksumStart: 0 })],
  ['a checksum field at the end', frame(SMALL, { ...PLAIN_GSO, checksumOffset: 106 })],
  ['a checksum field beyond the end', frame(SMALL, { ...PLAIN_GSO, checksumOffset: 4000 })],
  ['a superpacket with a checksum elsewhere', frame(TCP, { checksumStart: 24 })],
];

describe('offloads that a pod asks for', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology();
    const args = ['--leases', writeLeases(topology), '--workers', '1'];
    weft = await Weft.start(topology.nodes[0]!, args);
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  /** Sends them, and an ordinary packet behind them; returns what they were dropped for. */
  async function drops(frames: readonly VnetFrame[]): Promise<Record<string, number>> {
    const before = weft.metrics();
    const count = { direction: 'tx' };
    const carried = before.sum('weft_packets_total', count);
    await sendVnetFrames(topology.nodes[0]!, [...frames, frame(SMALL, { ...PLAIN_GSO })]);
    const more = () => weft.metrics().sum('weft_packets_total', count) > carried;
    await waitFor('the packet behind them', more);
    return weft.metrics().newDrops(before, 'tx');
  }

  test('are laid to a sender, kind by kind', async () => {
    const reasons = await drops([...FRAMES.map(([, each]) => each), ...CARRIED_ON]);
    assert.equal(reasons.bad_offload, undefined, JSON.stringify(reasons));
    // Without TSO the kernel cuts them itself.
    const cuts = weft.metrics().sum('weft_capability', { feature: 'tun_tso' }) === 1;
    const malformed = reasons.malformed_offload ?? 0;
    assert.ok(!cuts || malformed >= CARRIED_ON.length, JSON.stringify(reasons));
  });

  test('are laid to a sender, whatever bytes they are', async () => {
    await withSeedAsync(async (random) => {
      const frames = Array.from({ length: RANDOM_FRAMES }, () => {
        const lie: Partial<VirtioWords> = {};
        const packet = random.pick([TCP, UDP, SMALL]).slice();
        const value = () => random.pick([0, 1, 4, 5, 6, 16, 20, 24, 255, random.below(65_536)]);
        if (random.oneIn(3)) lie.flags = random.below(8);
        if (random.oneIn(3)) lie.gsoType = random.pick([0, 1, 3, 4, 5, 0x81, 0x85]);
        if (random.oneIn(3)) lie.gsoSize = value();
        if (random.oneIn(3)) lie.checksumStart = value();
        if (random.oneIn(3)) lie.checksumOffset = value();
        if (random.oneIn(2)) packet[random.between(20, 47)] = value() & 0xff;
        return frame(packet, lie, random.pick([TCP, UDP]));
      });
      const reasons = await drops(frames);
      assert.equal(reasons.bad_offload, undefined, JSON.stringify(reasons));
    });
  });
});
