/**
 * The other node is socat, TUN on one side and UDP on the other: byte for byte what flannel's proxy
 * puts on the wire, one inner packet a datagram and nothing else.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Capture } from '../support/capture.ts';
import { iperf } from '../support/iperf.ts';
import { Weft, writeLeases } from '../support/node.ts';
import { attempt, Background, run } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

describe('interop with TUN over UDP by socat', () => {
  let topology: Topology;
  let weft: Weft;
  let socat: Background;

  before(async () => {
    topology = buildTopology();
    const [ours, theirs] = topology.nodes;
    weft = await Weft.start(ours!, ['--leases', writeLeases(topology)]);
    socat = new Background(
      inside(theirs!.namespace, [
        ...['socat', '-b', '65536'],
        `UDP-DATAGRAM:${ours!.address}:8285,bind=${theirs!.address}:8285`,
        'TUN:10.244.2.0/32,tun-name=flannel0,tun-type=tun,iff-no-pi,iff-up',
      ]),
    );
    const show = ['ip', '-n', theirs!.namespace, 'link', 'show', 'flannel0'];
    await waitFor("socat's device", () => attempt(show).stdout.includes('UP'));
    ip(theirs!.namespace, 'link set flannel0 mtu 1472\nroute add 10.244.0.0/16 dev flannel0\n');
  });

  after(async () => {
    await socat?.stop();
    await weft?.stop();
    topology?.remove();
  });

  test('ping passes from both sides, up to the MTU', () => {
    const [ours, theirs] = topology.nodes.map((node) => node.pod);
    for (const size of ['0', '56', '1443', '1444']) {
      const ping = ['ping', '-c3', '-i0.01', '-W2', '-Mdo', '-s', size];
      run(inside(ours!.namespace, [...ping, theirs!.address]));
      run(inside(theirs!.namespace, [...ping, ours!.address]));
    }
  });

  test('a datagram is the inner packet, nothing before it and nothing behind', async () => {
    const [ours, theirs] = topology.nodes;
    const inner = await Capture.start(topology, theirs!.pod.namespace, 'eth0', 'icmp');
    const outer = await Capture.start(topology, theirs!.namespace, 'eth0', 'udp port 8285');
    run(inside(ours!.pod.namespace, ['ping', '-c1', '-W2', '-s99', theirs!.pod.address]));
    await waitFor('both captures', () => inner.packets().length > 1 && outer.packets().length > 1);
    const [request] = await inner.stop();
    const [datagram] = await outer.stop();
    const carried = datagram!.subarray(28);
    // On the wire the TTL is still one higher: node 2 forwards the packet to its pod.
    assert.equal(carried[8], request![8]! + 1);
    assert.equal(carried.length, request!.length);
    assert.deepEqual(carried.subarray(0, 8), request!.subarray(0, 8));
    assert.deepEqual(carried.subarray(12), request!.subarray(12));
    assert.deepEqual([datagram!.readUInt16BE(20), datagram!.readUInt16BE(22)], [8285, 8285]);
  });

  test('TCP and UDP pass, there and back', async () => {
    const [ours, theirs] = topology.nodes.map((node) => node.pod);
    const flow = { client: ours!.namespace, server: theirs!.namespace, address: theirs!.address };
    for (const args of [[], ['-R'], ['-u', '-b5M', '-l1400'], ['-u', '-b5M', '-l1400', '-R']]) {
      const { bytes } = await iperf({ ...flow, seconds: 1, args });
      assert.ok(bytes > 1e5, `${args.join(' ')}: ${bytes} bytes`);
    }
  });

  test('nothing socat sent was refused', () => {
    // Node 2's kernel solicits IPv6 routers on its TUN, as it does beside flannel's proxy.
    const { socket_overflow, not_ipv4, ...refused } = weft.metrics().drops('rx');
    assert.deepEqual(refused, {});
  });
});
