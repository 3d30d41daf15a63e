/** Path MTU: what the tunnel refuses, and a middle hop that shrinks under a running TCP flow. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { iperf } from '../support/iperf.ts';
import { ask, startAll, type Weft, writeLeases } from '../support/node.ts';
import { attempt, run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const SHRUNK = 1400;
/** The outer IPv4 and UDP headers. */
const OUTER = 28;
/** IPv4 and ICMP headers: what ping's -s does not count. */
const PING = 28;
const INTERVALS_PER_SECOND = 10;
const OPTIONS = ['--workers', '1', '--metrics-peers', '10'];

describe('path MTU', () => {
  let topology: Topology;
  let wefts: Weft[] = [];

  before(async () => {
    topology = buildTopology({ routed: true });
    wefts = await startAll(topology, ['--leases', writeLeases(topology), ...OPTIONS]);
  });

  after(async () => {
    for (const weft of wefts) await weft.stop();
    topology?.remove();
  });

  function ping(packet: number, discovery: string) {
    const [from, to] = topology.nodes.map((node) => node.pod);
    const size = ['-s', String(packet - PING), '-M', discovery];
    return attempt(inside(from!.namespace, ['ping', '-c1', '-W2', ...size, to!.address]));
  }

  /** What weft on the first node says of the way to the second. */
  function shownPathMtu(): number | null {
    return JSON.parse(ask(topology.nodes[0]!, 'peers', '-o', 'json').stdout).peers[0].pathMtu;
  }

  test('a path of which nothing is known is shown with the MTU of the underlay', async () => {
    await waitFor('the path MTU', () => shownPathMtu() === 1500);
  });

  test('1472 bytes pass with DF and 1473 do not', () => {
    assert.equal(ping(1472, 'do').status, 0);
    const refused = ping(1473, 'do');
    assert.notEqual(refused.status, 0);
    assert.match(refused.stdout + refused.stderr, /message too long|mtu ?= ?1472/i);
  });

  test('TCP goes on within a second when the middle hop shrinks', async () => {
    const [from, to] = topology.nodes.map((node) => node.pod);
    const interval = String(1 / INTERVALS_PER_SECOND);
    const flow = iperf({
      client: from!.namespace,
      server: to!.namespace,
      address: to!.address,
      seconds: 3,
      args: ['-i', interval],
    });
    const before = sent(wefts[0]!);
    await waitFor('the flow to run', () => sent(wefts[0]!) > before + 5000, { every: 50 });
    topology.setMiddleMtu(SHRUNK);
    const bytes = (await flow).json.intervals.map(({ sum }) => sum.bytes);
    const stalls = bytes.map((n) => (n === 0 ? '.' : '#')).join('');
    const longest = Math.max(...stalls.split('#').map((stall) => stall.length));
    assert.ok(longest < INTERVALS_PER_SECOND, `stalled, by tenths of a second: ${stalls}`);
    assert.ok(
      bytes.slice(-INTERVALS_PER_SECOND).some((n) => n > 0),
      `never again: ${stalls}`,
    );
  });

  function sent(weft: Weft): number {
    return weft.metrics().sum('weft_packets_total', { direction: 'tx' });
  }

  test('the sender was told the path MTU less 28', () => {
    const [from, to] = topology.nodes;
    const metrics = wefts[0]!.metrics();
    assert.ok(metrics.sum('weft_icmp_sent_total', { type: 'frag_needed' }) > 0);
    assert.ok(metrics.drops('tx').too_big! > 0);
    const route = run(inside(from!.pod.namespace, ['ip', 'route', 'get', to!.pod.address]));
    assert.match(route, new RegExp(`mtu ${SHRUNK - OUTER}\\b`));
  });

  test('what fits the shrunk path passes with DF, one byte more is refused', () => {
    assert.equal(ping(SHRUNK - OUTER, 'do').status, 0);
    const refused = ping(SHRUNK - OUTER + 1, 'do');
    assert.notEqual(refused.status, 0);
    assert.match(refused.stdout + refused.stderr, new RegExp(`mtu ?= ?${SHRUNK - OUTER}`));
  });

  test('weft peers and the metric of the peer show it', async () => {
    await waitFor('the path MTU', () => shownPathMtu() === SHRUNK, { every: 200 });
    assert.equal(wefts[0]!.metrics().sum('weft_peer_path_mtu_bytes'), SHRUNK);
    const [, row] = ask(topology.nodes[0]!, 'peers').stdout.split('\n');
    assert.match(row!, /^10\.244\.2\.0\/24 .* 1400 /);
  });

  test('without DF the whole MTU still passes, in outer fragments', async () => {
    const before = fragmented(wefts[0]!);
    // The pod's own kernel must not fragment first: it has learned the path MTU by now.
    const { namespace } = topology.nodes[0]!.pod;
    run(inside(namespace, ['ip', 'route', 'flush', 'cache']));
    // The first answer is lost: with it the other node learns the path MTU.
    await waitFor('a ping', () => ping(1472, 'dont').status === 0);
    assert.ok(fragmented(wefts[0]!) > before);
  });

  function fragmented(weft: Weft): number {
    return weft.metrics().sum('weft_outer_fragmented_packets_total');
  }
});
