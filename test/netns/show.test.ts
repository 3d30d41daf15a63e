/** weft status, peers and trace against live nodes, as table and as JSON. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import * as schema from '../../src/api/schema.ts';
import { ask, leasesOf, startAll, type Weft, writeLeases } from '../support/node.ts';
import { Background, run } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

describe('commands that look', () => {
  let topology: Topology;
  let wefts: Weft[];

  before(async () => {
    topology = buildTopology({ nodes: 3 });
    const [first, second] = topology.nodes;
    // Node 3 has a lease and no weft; one more lease cannot be read.
    const leases = { ...leasesOf(topology.nodes), '10.244.9.0-24': { PublicIP: 'nowhere' } };
    const file = writeLeases(topology, leases);
    const running = { ...topology, nodes: [first!, second!] };
    wefts = await startAll(running, ['--leases', file, '--offload', 'tun_uso=off']);
  });
  after(async () => {
    await Promise.all(wefts.map((weft) => weft.stop()));
    topology.remove();
  });

  const node = (index: number) => topology.nodes[index - 1]!;

  function ping(count: number, to = node(2).pod.address): void {
    const argv = ['ping', '-q', '-c', `${count}`, '-i', '0.01', '-W', '2', to];
    run(inside(node(1).pod.namespace, argv));
  }

  function status() {
    const { stdout, stderr } = ask(node(1), 'status', '-o', 'json');
    assert.equal(stderr, '');
    return schema.Status.parse(JSON.parse(stdout));
  }

  test('status has the node on one screen', () => {
    ping(3);
    const { status: exit, stdout } = ask(node(1), 'status');
    assert.equal(exit, 0);
    assert.ok(stdout.split('\n').length <= 40, stdout);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 120, line);
    assert.doesNotMatch(stdout, /\u001b/, 'colour only on a terminal');
    for (const part of [
      /^weft \S+ dataplane on \S+, Linux \S+, up \S+.*: ready$/m,
      /device +flannel0 up, 10\.244\.1\.0, MTU 1472$/m,
      /underlay +eth0 192\.0\.2\.1, MTU 1500, UDP port 8285 \(--iface eth0\)$/m,
      /lease +10\.244\.1\.0\/24 of 10\.244\.0\.0\/16 from --subnet, for \S+$/m,
      /lease source +file \S+leases\.json\s+synced,\s+synced\s+\S+\s+ago,\s+2\s+peers;/,
      /1\s+bad_value,\s+first\s+10\.244\.9\.0-24$/m,
      /off +tun_uso: switched off by --offload tun_uso=off$/m,
      /workers +tx 0 \S+ %, rx 0 \S+ % busy$/m,
      /PACKETS +BYTES +PACKETS\/S +RATE +DROPPED/,
    ]) {
      assert.match(stdout, part);
    }
  });

  test('status as JSON says the same', () => {
    const found = status();
    assert.equal(found.device?.mtu, 1472);
    assert.equal(found.lease?.subnet, '10.244.1.0/24');
    assert.deepEqual(found.health, { ready: true, notReady: [], alive: true, hanging: [] });
    assert.equal(found.leaseSource.refusals[0]?.key, '10.244.9.0-24');
    assert.equal(found.offloads.find(({ name }) => name === 'tun_uso')?.inForce, false);
    assert.equal(found.workers.length, 2);
  });

  test('status, /metrics and ip -s link agree on the numbers', async () => {
    const link = () => {
      const argv = inside(node(1).namespace, ['ip', '-j', '-s', 'link', 'show', 'flannel0']);
      const [row] = JSON.parse(run(argv)) as LinkRow[];
      return row!.stats64;
    };
    // What weft itself tried on the device at its start is no packet of anybody's.
    const before = { api: status(), kernel: link() };
    const tried = before.kernel.rx.packets - before.api.rx.packets;
    assert.ok(tried <= 2, `${tried} packets more came in than weft carried`);
    ping(50);
    // A pump publishes its counters at the end of a breath.
    await waitFor('the counters to settle', () => {
      const [api, metrics, kernel] = [status(), wefts[0]!.metrics(), link()];
      for (const [direction, ours] of [
        ['tx', kernel.tx],
        ['rx', kernel.rx],
      ] as const) {
        const metric = (name: string, labels = {}) => metrics.sum(name, { direction, ...labels });
        assert.equal(api[direction].packets, metric('weft_packets_total'));
        assert.equal(api[direction].bytes, metric('weft_bytes_total', { layer: 'inner' }));
        assert.equal(api[direction].datagrams, metric('weft_datagrams_total'));
        assert.equal(api[direction].dropped, metric('weft_dropped_packets_total'));
        // What the device sent came to us, but for what we dropped; what it received, we wrote.
        const dropped = direction === 'tx' ? api.tx.dropped : 0;
        const own = direction === 'rx' ? metrics.sum('weft_icmp_sent_total') + tried : 0;
        assert.equal(api[direction].packets + dropped + own, ours.packets);
      }
      return true;
    });
    assert.ok(status().tx.packets >= 53);
  });

  test('drops are told with reason, meaning and rate', async () => {
    const flood = ['ping', '-q', '-c', '20', '-i', '0.01', '-W', '1', '10.244.77.7'];
    const pinging = new Background(inside(node(1).pod.namespace, flood));
    await pinging.wait();
    const drop = await waitFor('a rate', () => {
      return status().drops.find(({ reason, perSecond }) => reason === 'no_route' && perSecond > 0);
    });
    assert.ok(drop.packets >= 20);
    assert.match(ask(node(1), 'status').stdout, /tx +no_route +\d+ +\S+ +no lease covers/);
  });

  test('status of a node that cannot forward says why and ends with 6', async () => {
    ip(node(2).namespace, 'link set flannel0 down\n');
    await waitFor('trouble', () => ask(node(2), 'status').status === 6);
    const { stdout } = ask(node(2), 'status');
    assert.match(stdout, /NOT READY\n {2}flannel0 is down: ip link set flannel0 up/);
    ip(node(2).namespace, 'link set flannel0 up\n');
    await waitFor('readiness', () => ask(node(2), 'status').status === 0);
  });

  test('status --watch looks again until it is told to stop', async () => {
    const words = ['status', '-o', 'json', '--watch', '0.1', '--api-socket', node(1).apiSocket];
    const watching = new Background([process.execPath, 'dist/src/cli.js', ...words]);
    await waitFor('three looks', () => watching.stdout.split('\n').length > 3 || watching.end);
    const end = await watching.stop('SIGINT');
    assert.equal(end.code, 0, watching.describe());
    const ages = watching.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).nowSeconds);
    assert.ok(ages.length >= 3 && ages[2] > ages[0]);
  });

  test('peers is a row a peer, sorted and filtered', () => {
    const { stdout } = ask(node(1), 'peers');
    const rows = stdout.split('\n');
    assert.match(
      rows[0]!,
      /^SUBNET +ADDRESS +TX PKTS +TX +TX RATE +.*DROPS +SEEN +MTU +RTT +LOSS$/,
    );
    assert.match(rows[1]!, /^10\.244\.2\.0\/24 +192\.0\.2\.2 /);
    assert.match(rows[2]!, /^10\.244\.3\.0\/24 +192\.0\.2\.3 /);
    assert.match(stdout, /^2 peers$/m);
    const json = schema.Peers.parse(
      JSON.parse(ask(node(1), 'peers', '-o', 'json', '--sort=-address').stdout),
    );
    assert.deepEqual(
      json.peers.map(({ publicAddress }) => publicAddress),
      ['192.0.2.3', '192.0.2.2'],
    );
    assert.match(ask(node(1), 'peers', '--filter', '10.244.3.77').stdout, /^1 of 2 peers$/m);
    assert.match(ask(node(1), 'peers', '-n', '1').stdout, /^1 of 2 peers, 2 match$/m);
  });

  test('trace follows a packet to where it fails', () => {
    const pass = ask(node(1), 'trace', '10.244.2.2', '--from', '10.244.1.2');
    assert.equal(pass.status, 0, pass.stdout);
    assert.match(pass.stdout, /^10\.244\.1\.2 -> 10\.244\.2\.2: passes/);
    assert.match(pass.stdout, /fine +route +ip route get 10\.244\.2\.2: dev flannel0$/m);
    assert.match(pass.stdout, /fine +lease +10\.244\.2\.0\/24 is behind 192\.0\.2\.2$/m);
    assert.match(pass.stdout, /fine +path MTU +1500 bytes: full packets of 1472 fit$/m);
    const wrong: [string[], RegExp][] = [
      [['10.244.77.7'], /fails +lease +no lease covers 10\.244\.77\.7/],
      [['10.244.9.1'], /fails +lease +the lease 10\.244\.9\.0-24 is refused: bad_value/],
      [['10.244.2.2', '--from', '192.0.2.1'], /fails +source +192\.0\.2\.1 is outside/],
      [['198.51.100.1'], /fails +route +198\.51\.100\.1 is outside the overlay/],
    ];
    for (const [words, message] of wrong) {
      const { status: exit, stdout } = ask(node(1), 'trace', ...words);
      assert.equal(exit, 6);
      assert.match(stdout, message);
      assert.match(stdout, /^ +-> \S+/m, 'a cure');
    }
    const json = ask(node(1), 'trace', '10.244.77.7', '-o', 'json');
    assert.equal(schema.Trace.parse(JSON.parse(json.stdout)).verdict, 'fails');
  });

  test('trace sees a route that leads elsewhere', () => {
    ip(node(1).namespace, 'route add 10.244.2.0/24 via 192.0.2.254 dev eth0\n');
    const { status: exit, stdout } = ask(node(1), 'trace', '10.244.2.2');
    ip(node(1).namespace, 'route del 10.244.2.0/24\n');
    assert.equal(exit, 6);
    assert.match(stdout, /fails +route +.*dev eth0 via 192\.0\.2\.254, not dev flannel0/);
  });

  test('trace tells of a lease source that went stale', async () => {
    const path = join(topology.directory, 'leases.json');
    const good = leasesOf(topology.nodes);
    writeFileSync(path, '{');
    await waitFor('staleness', () => status().leaseSource.state === 'stale');
    assert.match(ask(node(1), 'trace', '10.244.2.2').stdout, /warns +lease .*; leases are stale: /);
    writeFileSync(path, JSON.stringify(good));
    await waitFor('sync', () => status().leaseSource.state === 'synced');
  });
});

interface LinkRow {
  readonly stats64: Readonly<Record<'tx' | 'rx', { readonly packets: number }>>;
}
