/** The overlay probe and weft ping between live nodes, and each way in which a hop loses. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Peers } from '../../src/api/schema.ts';
import { ask, startAll, type Weft, weftPath, writeLeases } from '../support/node.ts';
import { attempt, run } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const MODULES = fileURLToPath(new URL('../../../node_modules', import.meta.url));

describe('the probe', () => {
  let topology: Topology;
  let wefts: Weft[];

  before(async () => {
    topology = buildTopology({ nodes: 3 });
    const [first, second] = topology.nodes;
    const leases = ['--leases', writeLeases(topology)];
    // Node 3 has a lease and no weft.
    const running = { ...topology, nodes: [first!, second!] };
    wefts = await startAll(running, [...leases, '--probe-interval', '1', '--metrics-peers', '9']);
  });
  after(async () => {
    await Promise.all(wefts.map((weft) => weft.stop()));
    topology.remove();
  });

  const node = (index: number) => topology.nodes[index - 1]!;
  const peers = () => Peers.parse(JSON.parse(ask(node(1), 'peers', '-o', 'json').stdout));
  const nft = (index: number, ruleset: string) =>
    run(inside(node(index).namespace, ['nft', '-f', '-']), { input: ruleset });

  interface Pinged {
    readonly well: boolean;
    readonly lostAt: string | null;
    readonly lines: readonly string[];
    readonly results: readonly { readonly name: string; readonly received: number }[];
  }

  function ping(...words: string[]): Pinged {
    const { stdout, stderr, status } = ask(node(1), 'ping', '-o', 'json', ...words);
    assert.equal(stderr, '');
    const pinged = JSON.parse(stdout) as Pinged;
    assert.equal(status, pinged.well ? 0 : 6);
    return pinged;
  }

  test('tells round trip and loss of each peer, and trace and metrics know of them', async () => {
    await waitFor('a settled probe of each peer', () => {
      return peers().peers.every(({ probe }) => (probe?.sent ?? 0) >= 3);
    });
    const settled = peers().peers;
    assert.equal(peers().probe.running, true);
    const [alive, dead] = settled;
    assert.equal(alive!.probe!.lossRatio, 0);
    assert.ok(alive!.probe!.roundTripMs! > 0 && alive!.probe!.lastAnswerSeconds! > 0);
    assert.deepEqual([dead!.probe!.lossRatio, dead!.probe!.roundTripMs], [1, null]);
    assert.match(ask(node(1), 'peers').stdout, /^10\.244\.2\.0\/24 .* ms +0 %$/m);
    assert.match(ask(node(1), 'peers').stdout, /^10\.244\.3\.0\/24 .* - +100 %$/m);
    const passes = ask(node(1), 'trace', '10.244.2.7').stdout;
    assert.match(passes, /: passes\n(?:.*\n)*.*fine +far end +answers the probe, \S+ ms$/m);
    const fails = ask(node(1), 'trace', '10.244.3.7');
    assert.equal(fails.status, 6);
    assert.match(fails.stdout, /fails +far end +100 % of probes lost/);
    const metrics = wefts[0]!.metrics();
    assert.equal(metrics.sum('weft_peer_loss_ratio', { peer: '10.244.3.0/24' }), 1);
    assert.equal(metrics.sum('weft_peer_loss_ratio', { peer: '10.244.2.0/24' }), 0);
  });

  test('ping reaches a pod and a node, in all sizes', () => {
    const table = ask(node(1), 'ping', node(2).pod.address);
    assert.equal(table.status, 0, table.stdout);
    assert.match(table.stdout, /^HOP +ADDRESS +BYTES +ANSWERED +MIN \/ AVERAGE \/ MAX +LEFT/);
    assert.match(table.stdout, /^underlay +192\.0\.2\.2 +92 +3\/3 /m);
    assert.match(table.stdout, /^device +10\.244\.2\.0 +1472 +3\/3 /m);
    assert.match(table.stdout, /^pod +10\.244\.2\.2 +1472 +3\/3 .* ms +[3-9] +[3-9]$/m);
    assert.match(table.stdout, /^every echo of 64 and 1472 bytes was answered$/m);
    const pinged = ping('192.0.2.2', '--size', '100', '--count', '2');
    assert.deepEqual(
      pinged.results.map(({ name, received }) => [name, received]),
      [
        ['underlay', 2],
        ['device', 2],
      ],
    );
  });

  test('ping names the hop that loses: the pod', () => {
    const pinged = ping('10.244.2.77', '--size', '64', '--count', '1');
    assert.equal(pinged.lostAt, 'pod');
    assert.match(pinged.lines.join('\n'), /device of 192\.0\.2\.2 answers, 10\.244\.2\.77 behind/);
  });

  test('ping names the hop that loses: a pod with too small an MTU', () => {
    ip(node(2).namespace, 'link set pod mtu 1300\n');
    const pinged = ping(node(2).pod.address, '--count', '1');
    ip(node(2).namespace, 'link set pod mtu 1472\nlink set cni0 mtu 1472\n');
    assert.equal(pinged.lostAt, 'pod', pinged.lines.join('\n'));
  });

  test('ping names the hop that loses: UDP to the node', () => {
    const rules =
      'table ip f {\nchain in {\ntype filter hook input priority 0\nudp dport 8285 drop\n}\n}';
    nft(2, rules);
    const pinged = ping('192.0.2.2', '--size', '64', '--count', '2');
    nft(2, 'delete table ip f');
    assert.equal(pinged.lostAt, 'device');
    assert.match(
      pinged.lines.join('\n'),
      /answers on the underlay, nothing comes back through UDP/,
    );
  });

  test('ping names the hop that loses: a path that carries less', () => {
    ip(topology.underlay, 'link set to-n2 mtu 1400\n');
    const pinged = ping('192.0.2.2', '--count', '1');
    ip(topology.underlay, 'link set to-n2 mtu 1500\nlink set br0 mtu 1500\n');
    assert.equal(pinged.lostAt, 'underlay');
    assert.match(
      pinged.lines.join('\n'),
      /smaller ones pass: the path to 192\.0\.2\.2 carries less/,
    );
  });

  test('ping names the hop that loses: the node is down', () => {
    ip(node(2).namespace, 'link set eth0 down\n');
    const pinged = ping('192.0.2.2', '--size', '64', '--count', '1');
    ip(node(2).namespace, 'link set eth0 up\nroute replace default via 192.0.2.254\n');
    assert.equal(pinged.lostAt, 'underlay');
    assert.match(pinged.lines.join('\n'), /192\.0\.2\.2 does not answer on the underlay either/);
  });

  test('ping of nobody says so', () => {
    const stranger = ask(node(1), 'ping', '198.51.100.7');
    assert.equal(stranger.status, 5);
    assert.match(stranger.stderr, /198\.51\.100\.7 is of no peer\n.*weft trace 198\.51\.100\.7/);
    assert.match(ask(node(1), 'ping', '10.244.1.7').stderr, /is of this node/);
    assert.equal(ask(node(1), 'ping', '192.0.2.2', '--size', '7').status, 2);
  });

  test('without raw-socket, or leave to use it, ping says how to get it in one line', () => {
    const words = [weftPath, 'ping', '192.0.2.2', '--api-socket', node(1).apiSocket];
    const hide = `mount -t tmpfs none "${MODULES}/raw-socket" && exec "$@"`;
    const command = [process.execPath, ...words];
    const bare = attempt(['unshare', '--mount', 'sh', '-c', hide, 'sh', ...command]);
    assert.equal(bare.status, 3);
    assert.match(bare.stderr, /^weft: raw-socket is not installed: npm install raw-socket.*\n$/);
    const powerless = attempt(['setpriv', '--bounding-set', '-net_raw', '--', ...command]);
    assert.equal(powerless.status, 3);
    assert.match(powerless.stderr, /^weft: ICMP may not be sent from here .*CAP_NET_RAW\n$/);
  });
});
