/**
 * The account of one peer balances: every packet a pod sent to it, and every datagram that came
 * from it, is one of its packets or one of its drops, wherever on the way it was lost.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { badDatagrams, goodDatagram, sendFrom } from '../support/datagrams.ts';
import { frameSender } from '../support/frames.ts';
import { httpGet, leasesOf, Weft, writeLeases } from '../support/node.ts';
import { pattern, udp4 } from '../support/packets.ts';
import { attempt } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Of each kind; not a multiple of anything, so that a kind counted twice shows. */
const COPIES = 7;
/** Over the MTU of 1472 that weft was started with. */
const RAISED_MTU = 2000;

describe('the books of a peer', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology();
    // An old lease of the peer's: its traffic must not be shown a second time.
    const old = { '10.244.9.0-24': { PublicIP: topology.nodes[1]!.address } };
    const leases = writeLeases(topology, { ...leasesOf(topology.nodes), ...old });
    const args = ['--leases', leases, '--ttl', 'flannel', '--metrics-peers', '4'];
    weft = await Weft.start(topology.nodes[0]!, [...args, '--workers', '1']);
    // Links that just came up lose what is sent too early.
    const [own, peer] = topology.nodes;
    const pings = (from: string, to: string) =>
      attempt(inside(from, ['ping', '-c1', '-W1', '-q', to])).status === 0;
    await waitFor('the links', () => {
      return pings(own!.pod.namespace, '10.244.1.1') && pings(peer!.namespace, own!.address);
    });
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  function books(direction: 'tx' | 'rx'): { packets: number; drops: number } {
    const labels = { peer: topology.nodes[1]!.subnet, direction };
    const metrics = weft.metrics();
    const packets = metrics.sum('weft_peer_packets_total', labels);
    return { packets, drops: metrics.sum('weft_peer_dropped_packets_total', labels) };
  }

  const drops = (direction: 'tx' | 'rx', reason: string) =>
    weft.metrics().drops(direction)[reason] ?? 0;

  test('to it: sent, run out of TTL, over the MTU', async () => {
    const [own, peer] = topology.nodes;
    const ends = { source: own!.pod.address, destination: peer!.pod.address };
    const packet = (length: number, timeToLive: number) =>
      udp4(pattern(length), {}, { ...ends, timeToLive, dontFragment: true });
    const send = frameSender(own!);
    for (let i = 0; i < COPIES; i++) send(packet(64, 64));
    // The kernel takes one hop before weft does.
    for (let i = 0; i < COPIES; i++) send(packet(64, 2));
    await waitFor('the TTL', () => drops('tx', 'ttl_exceeded') === COPIES);
    // weft sets a changed MTU right again; held still it finds the packets that came before it did.
    weft.process.child.kill('SIGSTOP');
    try {
      const mtu = `mtu ${RAISED_MTU}\n`;
      for (const name of ['flannel0', 'pod', 'cni0']) {
        ip(own!.namespace, `link set ${name} ${mtu}`);
      }
      ip(own!.pod.namespace, `link set eth0 ${mtu}`);
      for (let i = 0; i < COPIES; i++) send(packet(RAISED_MTU - 28, 64));
    } finally {
      weft.process.child.kill('SIGCONT');
    }
    await waitFor('the MTU', () => drops('tx', 'too_big') === COPIES);
    assert.deepEqual(books('tx'), { packets: COPIES, drops: 2 * COPIES });
  });

  test('from it: let in, refused, and lost at the TUN', async () => {
    const [own, peer] = topology.nodes;
    const send = (datagrams: readonly Uint8Array[]) =>
      sendFrom(peer!.namespace, own!.address, datagrams);
    const good = Array<Uint8Array>(COPIES).fill(goodDatagram());
    const bad = badDatagrams().filter(({ origin }) => origin === 'peer');
    await send([...good, ...bad.map(({ bytes }) => bytes)]);
    await waitFor('both', () => books('rx').packets + books('rx').drops === COPIES + bad.length);
    assert.deepEqual(books('rx'), { packets: COPIES, drops: bad.length });
    ip(own!.namespace, 'link set flannel0 down\n');
    const seen = () => weft.metrics().sum('weft_peer_last_seen_timestamp_seconds');
    await waitFor('the peer to be seen', () => seen() > 0);
    const heard = seen();
    await send(good);
    await waitFor('the losses', () => drops('rx', 'tun_down') === COPIES);
    assert.deepEqual(books('rx'), { packets: COPIES, drops: bad.length + COPIES });
    // It is heard all the same: what fails is here.
    await waitFor('the peer to be seen again', () => seen() > heard);
    ip(own!.namespace, 'link set flannel0 up\n');
    await waitFor('the device', () => weft.metrics().sum('weft_device_up') === 1);
    await send(good);
    const all = bad.length + 3 * COPIES;
    await waitFor('the last', () => books('rx').packets + books('rx').drops === all);
    assert.deepEqual(books('rx'), { packets: 2 * COPIES, drops: bad.length + COPIES });
  });

  test('the rows of all leases add up to what there was', () => {
    const metrics = weft.metrics();
    for (const direction of ['tx', 'rx']) {
      for (const what of ['packets', 'bytes']) {
        const rows = metrics.sum(`weft_peer_${what}_total`, { direction });
        const layer = what === 'bytes' ? { layer: 'inner' } : {};
        assert.equal(rows, metrics.sum(`weft_${what}_total`, { direction, ...layer }));
      }
    }
    const { peers } = JSON.parse(httpGet(weft.space.namespace, '/v1/peers').body) as {
      peers: { publicAddress: string; txPackets: number | null }[];
    };
    assert.equal(peers.length, 2);
    assert.equal(peers.filter(({ txPackets }) => txPackets !== null).length, 1);
  });
});
