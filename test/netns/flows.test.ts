/** TCP and UDP between pods, both ways, with one, two and four workers. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { iperf } from '../support/iperf.ts';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { Background, runAside } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** CPU time that a worker which only looks at its clock does not use in a second. */
const BUSY_SECONDS = 0.03;

for (const workers of [1, 2, 4]) {
  describe(`with ${workers} workers`, () => {
    let topology: Topology;
    let wefts: Weft[] = [];

    before(async () => {
      topology = buildTopology();
      // Between two nodes one source port is one flow, which one socket takes in.
      const spread = ['--workers', String(workers), '--tx-ports', workers === 1 ? '1' : '16'];
      wefts = await startAll(topology, ['--leases', writeLeases(topology), ...spread]);
    });

    after(async () => {
      for (const weft of wefts) await weft.stop();
      topology?.remove();
    });

    function flow(...args: string[]) {
      const [from, to] = topology.nodes.map((node) => node.pod);
      const [client, server] = [from!.namespace, to!.namespace];
      return iperf({ client, server, address: to!.address, seconds: 1, args });
    }

    test('TCP passes, there and back', async () => {
      for (const args of [[], ['-R'], ['-P', '8'], ['-P', '8', '-R']]) {
        const { bytes } = await flow(...args);
        assert.ok(bytes > 1e6, `${args.join(' ')}: ${bytes} bytes in a second`);
      }
    });

    test('UDP passes whole, there and back', async () => {
      for (const args of [[], ['-R']]) {
        const { packets, lostPackets } = await flow('-u', '-b10M', '-l1400', ...args);
        assert.ok(packets > 100, `${packets} datagrams in a second`);
        assert.ok(lostPackets <= packets / 20, `${lostPackets} of ${packets} lost`);
      }
    });

    test('UDP larger than the MTU passes in fragments', async () => {
      const { packets, lostPackets } = await flow('-u', '-b10M', '-l8000');
      assert.ok(packets > 50 && lostPackets <= packets / 20, `${lostPackets} of ${packets} lost`);
    });

    test('nothing was refused', () => {
      for (const weft of wefts) {
        const { socket_full, tun_queue_full, ...sent } = weft.metrics().drops('tx');
        assert.deepEqual(sent, {}, 'drops beside those of full queues');
        const { socket_overflow, tun_full, ...received } = weft.metrics().drops('rx');
        assert.deepEqual(received, {}, 'drops beside those of full queues');
      }
    });

    test('flows spread over the queues of the TUN', async () => {
      const labels = Array.from({ length: workers }, (_, i) => ({
        direction: 'tx',
        worker: String(i),
      }));
      const cpu = () => {
        const metrics = wefts[0]!.metrics();
        return labels.map((label) => metrics.sum('weft_worker_cpu_seconds_total', label));
      };
      const before = cpu();
      await flow('-P', '16');
      const busy = cpu().filter((seconds, i) => seconds - before[i]! > BUSY_SECONDS).length;
      assert.ok(busy >= Math.min(2, workers), `${busy} of ${workers} were busy`);
    });

    test('a file arrives as it was sent', async () => {
      const [from, to] = topology.nodes.map((node) => node.pod);
      const [sent, received] = ['sent', 'received'].map((name) => join(topology.directory, name));
      writeFileSync(sent!, randomBytes(16 * 1024 * 1024));
      const listen = ['socat', '-u', 'TCP-LISTEN:7000', `CREATE:${received}`];
      const server = new Background(inside(to!.namespace, listen));
      await waitFor('the listener', async () => {
        const sockets = await runAside(inside(to!.namespace, ['ss', '-Hltn', 'sport = 7000']));
        return sockets.stdout !== '';
      });
      const send = ['socat', '-u', `FILE:${sent}`, `TCP:${to!.address}:7000`];
      const client = await runAside(inside(from!.namespace, send));
      assert.equal(client.status, 0, client.stderr);
      assert.equal((await server.wait()).code, 0);
      const digest = (file: string) =>
        createHash('sha256').update(readFileSync(file)).digest('hex');
      assert.equal(digest(received!), digest(sent!));
    });
  });
}
