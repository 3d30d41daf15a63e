/**
 * Every rung of the ladder may be missing: with each forced off on one node, and then with all on
 * both, the same packets pass. The whole of the other namespace tests: `make test-rungs`.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { FEATURES } from '../../src/dataplane/messages.ts';
import { Capture } from '../support/capture.ts';
import { frameSender } from '../support/frames.ts';
import { iperf } from '../support/iperf.ts';
import { Weft, writeLeases } from '../support/node.ts';
import { attempt, Background, runAside } from '../support/process.ts';
import { hex, hopped, IP, namedPackets } from '../support/protocol-packets.ts';
import { buildTopology, inside, type PodSpace, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** The kernels of two nodes lower the TTL once each. */
const HOPS = 2;
/** Inner MTU less IPv4 and ICMP headers: ping's -s counts what follows them. */
const LARGEST_PING = 1472 - 28;
/** What the middle hop takes from then on. */
const SHRUNK = 1400;
const FILE_BYTES = 4 * 1024 * 1024;

/** The rung, and which nodes go without it: one alone meets a peer that has it, both ways. */
const CASES = [...FEATURES.map((rung) => ({ rung, nodes: [0] })), { rung: 'all', nodes: [0, 1] }];

for (const { rung, nodes } of CASES) {
  describe(`without ${rung} on ${nodes.length === 1 ? 'one node' : 'both nodes'}`, () => {
    let topology: Topology;
    let wefts: Weft[] = [];
    let pods: readonly PodSpace[] = [];

    before(async () => {
      topology = buildTopology({ routed: true });
      const leases = ['--leases', writeLeases(topology), '--workers', '1'];
      wefts = topology.nodes.map((node, i) => {
        return new Weft(node, nodes.includes(i) ? [...leases, '--offload', `${rung}=off`] : leases);
      });
      await Promise.all(wefts.map((weft) => weft.ready()));
      pods = topology.nodes.map(({ pod }) => pod);
    });

    after(async () => {
      for (const weft of wefts) await weft.stop();
      topology?.remove();
    });

    test('it is off, and says so', () => {
      for (const node of nodes) {
        for (const feature of rung === 'all' ? FEATURES : [rung]) {
          assert.equal(wefts[node]!.metrics().sum('weft_capability', { feature }), 0, feature);
        }
      }
    });

    test('pings pass up to the MTU, and larger ones in fragments', () => {
      const [from, to] = pods;
      const ping = (size: number, discovery: string) =>
        attempt(
          inside(from!.namespace, [
            ...['ping', '-c2', '-i0.01', '-W2', '-M', discovery],
            ...['-s', String(size), to!.address],
          ]),
        );
      for (const size of [0, 1, 511, LARGEST_PING - 1, LARGEST_PING]) {
        assert.equal(ping(size, 'do').status, 0, `${size} bytes`);
      }
      assert.match(ping(LARGEST_PING + 1, 'do').stdout, /0 received/);
      for (const size of [LARGEST_PING + 1, 8000]) assert.equal(ping(size, 'dont').status, 0);
    });

    test('TCP passes both ways at once, and UDP', async () => {
      const [from, to] = pods;
      const [client, server] = [from!.namespace, to!.namespace];
      const flow = { client, server, address: to!.address, seconds: 1 };
      const tcp = await iperf({ ...flow, args: ['--bidir', '-P', '2'] });
      assert.ok(tcp.bytes > 1e6, `${tcp.bytes} bytes in a second`);
      const udp = await iperf({ ...flow, args: ['-u', '-b10M', '-l1400'] });
      const { packets, lostPackets } = udp;
      assert.ok(packets > 100 && lostPackets < packets / 2, `${lostPackets} of ${packets} lost`);
    });

    for (const direction of ['there', 'back']) {
      test(`a file arrives as it was sent, ${direction}`, async () => {
        const [from, to] = direction === 'there' ? pods : pods.toReversed();
        await transfer(topology, from!, to!);
      });
    }

    test('whatever IPv4 carries arrives as it was sent', async () => {
      const send = frameSender(topology.nodes[0]!);
      const filter = `src ${IP.source}`;
      const capture = await Capture.start(topology, pods[1]!.namespace, 'eth0', filter);
      const sent = Object.values(namedPackets()).flat();
      for (const packet of sent) send(packet);
      await waitFor('the packets', () => capture.packets().length >= sent.length);
      const expected = sent.map((packet) => hex(hopped(packet, HOPS)));
      assert.deepEqual((await capture.stop()).map(hex), expected);
    });

    test('a path MTU that shrinks is learned', async () => {
      topology.setMiddleMtu(SHRUNK);
      await transfer(topology, pods[0]!, pods[1]!);
      const metrics = wefts[0]!.metrics();
      assert.ok(metrics.sum('weft_icmp_sent_total', { type: 'frag_needed' }) > 0);
      const { too_big, ...others } = metrics.drops('tx');
      assert.ok(too_big! > 0, JSON.stringify(others));
    });

    test('nothing else was refused', () => {
      for (const weft of wefts) {
        const { socket_full, tun_queue_full, too_big, ...sent } = weft.metrics().drops('tx');
        assert.deepEqual(sent, {}, 'drops beside those of full queues and the path MTU');
        const { socket_overflow, tun_full, ...received } = weft.metrics().drops('rx');
        assert.deepEqual(received, {}, 'drops beside those of full queues');
      }
    });
  });
}

async function transfer(topology: Topology, from: PodSpace, to: PodSpace): Promise<void> {
  const [sent, received] = ['sent', 'received'].map((name) => join(topology.directory, name));
  writeFileSync(sent!, randomBytes(FILE_BYTES));
  const listen = ['socat', '-u', 'TCP-LISTEN:7000,reuseaddr', `OPEN:${received},creat,trunc`];
  const server = new Background(inside(to.namespace, listen));
  await waitFor('the listener', async () => {
    const sockets = await runAside(inside(to.namespace, ['ss', '-Hltn', 'sport = 7000']));
    return sockets.stdout !== '';
  });
  const send = ['socat', '-u', `FILE:${sent}`, `TCP:${to.address}:7000`];
  const client = await runAside(inside(from.namespace, send));
  assert.equal(client.status, 0, client.stderr);
  assert.equal((await server.wait()).code, 0);
  const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
  assert.equal(digest(received!), digest(sent!));
}
