/**
 * Where the kernel loses packets beside weft: each kind is made to happen so many times, and found
 * so many times under one reason of weft's or one counter of the kernel's.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { goodDatagram, sendFrom } from '../support/datagrams.ts';
import { ETHERTYPE_IPV4, frameSender, macAddress } from '../support/frames.ts';
import { type Metrics, Weft, writeLeases } from '../support/node.ts';
import { ipv4, pattern, udp4, udpDatagram } from '../support/packets.ts';
import { run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { sendFrames } from '../support/vnet-frames.ts';
import { waitFor } from '../support/waitfor.ts';

const COPIES = 7;
/** So many at once must not overflow anything. */
const WRONG_CHECKSUMS = 2000;
/** Linux checks datagrams up to 76 bytes as they come, and longer ones where they are copied. */
const SHORT = 20;
const LONG = 1200;
const PORT = 8285;

describe('what the kernel loses', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology();
    weft = await Weft.start(topology.nodes[0]!, ['--leases', writeLeases(topology)]);
    const [own, peer] = topology.nodes;
    const settings = ['net.ipv4.ipfrag_time=1', 'net.ipv4.conf.all.rp_filter=1'];
    run(inside(own!.namespace, ['sysctl', '-qw', ...settings, 'net.ipv4.conf.eth0.rp_filter=1']));
    await sendFrom(peer!.namespace, own!.address, [goodDatagram()]);
    await waitFor('the way in', () => weft.metrics().sum('weft_packets_total') > 0);
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  const kernel = (counter: string, metrics: Metrics = weft.metrics()) =>
    metrics.sum('weft_kernel_drops_total', { counter });

  /** A frame from the peer's link to our node's. */
  function toNode(packet: Uint8Array): Uint8Array {
    const [own, peer] = topology.nodes;
    const addresses = [
      ...macAddress(own!.namespace, 'eth0'),
      ...macAddress(peer!.namespace, 'eth0'),
    ];
    return Uint8Array.from([...addresses, ...ETHERTYPE_IPV4, ...packet]);
  }

  const ENDS = { source: '192.0.2.2', destination: '192.0.2.1' };
  const outer = (payload: Uint8Array, destinationPort = PORT) =>
    udp4(payload, { sourcePort: PORT, destinationPort }, ENDS);

  async function toPeer(copies: number): Promise<void> {
    const [own, peer] = topology.nodes;
    const ends = { source: own!.pod.address, destination: peer!.pod.address };
    const send = frameSender(own!);
    for (let i = 0; i < copies; i++) send(udp4(pattern(64), {}, ends));
  }

  for (const length of [SHORT, LONG]) {
    test(`${WRONG_CHECKSUMS} wrong UDP checksums, ${length} bytes each`, async () => {
      const [, peer] = topology.nodes;
      const inner = udp4(pattern(length), {}, { source: '10.244.2.2', destination: '10.244.1.2' });
      const packet = outer(inner);
      // Of the UDP header: behind an IPv4 header of 20 bytes.
      packet[26]! ^= 0xff;
      const before = weft.metrics();
      const frame = toNode(packet);
      await sendFrames(peer!.namespace, Array<Uint8Array>(WRONG_CHECKSUMS).fill(frame));
      const drops = () => weft.metrics().newDrops(before, 'rx');
      await waitFor('them all', () => drops().bad_udp_checksum === WRONG_CHECKSUMS);
      // The socket's own count, of which longer ones are a part, is read once a second.
      const heartbeat = () => weft.metrics().sum('weft_syscalls_total', { call: 'poll' });
      const beats = heartbeat();
      await waitFor('the next looks at the socket', () => heartbeat() > beats + 8);
      assert.deepEqual(drops(), { bad_udp_checksum: WRONG_CHECKSUMS });
    });
  }

  test('fragments of datagrams that never become whole', async () => {
    const before = kernel('IpReasmFails');
    const frames = Array.from({ length: COPIES }, (_, i) => {
      const first = udpDatagram(pattern(1000)).subarray(0, 800);
      return toNode(ipv4(first, { ...ENDS, moreFragments: true, identification: i + 1 }));
    });
    await sendFrames(topology.nodes[1]!.namespace, frames);
    await waitFor('the time of reassembly', () => kernel('IpReasmFails') >= before + COPIES);
    assert.equal(kernel('IpReasmFails'), before + COPIES);
  });

  test('datagrams to a port where nobody listens', async () => {
    const before = kernel('UdpNoPorts');
    const frame = toNode(outer(pattern(64), PORT + 1));
    await sendFrames(topology.nodes[1]!.namespace, Array<Uint8Array>(COPIES).fill(frame));
    await waitFor('them all', () => kernel('UdpNoPorts') >= before + COPIES);
    assert.equal(kernel('UdpNoPorts'), before + COPIES);
  });

  test('sources that the reverse path refuses', async () => {
    const counter = 'TcpExtIPReversePathFilter';
    const before = kernel(counter);
    const ends = { ...ENDS, source: '10.244.1.77' };
    const frame = toNode(udp4(pattern(64), { sourcePort: PORT, destinationPort: PORT }, ends));
    await sendFrames(topology.nodes[1]!.namespace, Array<Uint8Array>(COPIES).fill(frame));
    await waitFor('them all', () => kernel(counter) >= before + COPIES);
    assert.equal(kernel(counter), before + COPIES);
  });

  test('datagrams that our own firewall refuses', async () => {
    const { namespace } = topology.nodes[0]!;
    const rule = `table ip t { chain c { type filter hook output priority 0
      udp dport ${PORT} drop
    }
    }`;
    run(inside(namespace, ['nft', '-f', '-']), { input: rule });
    const before = weft.metrics();
    await toPeer(COPIES);
    const drops = () => weft.metrics().newDrops(before, 'tx');
    await waitFor('them all', () => drops().send_refused === COPIES);
    assert.deepEqual(drops(), { send_refused: COPIES });
    run(inside(namespace, ['nft', 'delete', 'table', 'ip', 't']));
  });

  test('datagrams that the underlay has no room for', async () => {
    const { namespace } = topology.nodes[0]!;
    // A queue that holds less than one packet.
    run(inside(namespace, ['tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'bfifo', 'limit', '1']));
    const before = kernel('UdpSndbufErrors');
    await toPeer(COPIES);
    await waitFor('them all', () => kernel('UdpSndbufErrors') >= before + COPIES);
    assert.equal(kernel('UdpSndbufErrors'), before + COPIES);
    run(inside(namespace, ['tc', 'qdisc', 'del', 'dev', 'eth0', 'root']));
  });
});
