/** What the world does to a running node: each with its stated outcome, and never a busy wait. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { startEtcd } from '../support/etcd.ts';
import { httpGet, idleShare, leasesOf, startAll, Weft, writeLeases } from '../support/node.ts';
import { attempt, Background } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Of one core, over a second: three threads that look at their clock once a second need less. */
const IDLE_SHARE = 0.05;
const MOST_LOOKS = 10;

describe('faults of a running node', () => {
  let topology: Topology;
  let leases: string;

  beforeEach(() => {
    topology = buildTopology();
    leases = writeLeases(topology);
  });

  afterEach(() => topology.remove());

  const workers = ['--workers', '1'];

  function pings(): boolean {
    const [from, to] = topology.nodes.map((node) => node.pod);
    return attempt(inside(from!.namespace, ['ping', '-c1', '-W1', to!.address])).status === 0;
  }

  /** What was just asked of it may still cost something; who spins does so every time. */
  async function assertIdle(weft: Weft): Promise<void> {
    let share = 1;
    for (let look = 0; look < MOST_LOOKS && share >= IDLE_SHARE; look++) {
      share = await idleShare(weft);
    }
    assert.ok(share < IDLE_SHARE, `${(share * 100).toFixed(1)} % of a core with nothing to do`);
  }

  function readiness(weft: Weft) {
    return httpGet(weft.space.namespace, '/readyz');
  }

  test('nothing happens: no CPU is used', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, '--workers', '4']);
    assert.ok(pings());
    await assertIdle(weft!);
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('flannel0 is deleted: made anew, and packets flow again', async () => {
    const [weft, other] = (await startAll(topology, ['--leases', leases, ...workers])) as [
      Weft,
      Weft,
    ];
    assert.ok(pings());
    const before = weft.metrics();
    const made = () => weft.metrics().sum('weft_device_recreations_total');
    for (const [round, told] of [/creating it again"/, /creating it again in 1 s; who/].entries()) {
      ip(weft.space.namespace, 'link del flannel0\n');
      await weft.process.waitForOutput(told);
      await waitFor('the new device', () => made() === round + 1);
      await waitFor('readiness', () => readiness(weft).status === 200);
      await waitFor('a ping', pings);
    }
    const show = inside(weft.space.namespace, ['ip', 'address', 'show', 'flannel0']);
    assert.match(attempt(show).stdout, /mtu 1472 [\s\S]*inet 10\.244\.1\.0\/32/);
    const carried = weft.metrics().sum('weft_packets_total');
    assert.ok(carried > before.sum('weft_packets_total'), 'totals go on');
    assert.doesNotMatch(weft.process.stdout, /"level":"?(fatal|60)/);
    await assertIdle(weft);
    await Promise.all([weft.stop(), other.stop()]);
  });

  test('flannel0 goes down and up: not ready while down, then as before', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    ip(weft!.space.namespace, 'link set flannel0 down\n');
    // The first word may be of what failed at that very moment, a route that was to be restored.
    await waitFor('not ready', () => {
      const { status, body } = readiness(weft!);
      return status === 503 && /flannel0 is down/.test(body);
    });
    assert.equal(weft!.metrics().sum('weft_device_up'), 0);
    await assertIdle(weft!);
    ip(weft!.space.namespace, 'link set flannel0 up\n');
    await waitFor('ready again', () => readiness(weft!).status === 200);
    assert.ok(pings());
    await assertIdle(weft!);
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('flannel0 is down and packets come from the wire: counted', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    ip(other!.space.namespace, 'link set flannel0 down\n');
    assert.equal(pings(), false);
    await waitFor('the drop', () => (other!.metrics().drops('rx').tun_down ?? 0) > 0);
    await assertIdle(other!);
    ip(other!.space.namespace, 'link set flannel0 up\n');
    await waitFor('ready again', () => readiness(other!).status === 200);
    assert.ok(pings());
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('the underlay goes down and up: refused sends are counted, then as before', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    const { namespace } = weft!.space;
    ip(namespace, 'link set eth0 down\n');
    assert.equal(pings(), false);
    await waitFor('the drop', () => (weft!.metrics().drops('tx').send_refused ?? 0) > 0);
    await waitFor('not ready', () => readiness(weft!).status === 503);
    await assertIdle(weft!);
    ip(namespace, 'link set eth0 up\n');
    await waitFor('ready again', () => readiness(weft!).status === 200);
    await waitFor('a ping', () => pings());
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('route and address are taken away: restored', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    ip(weft!.space.namespace, 'route del 10.244.0.0/16 dev flannel0\n');
    await waitFor('the route', () => pings());
    ip(weft!.space.namespace, 'addr flush dev flannel0\n');
    const show = ['ip', '-n', weft!.space.namespace, 'addr', 'show', 'dev', 'flannel0'];
    await waitFor('the address', () => attempt(show).stdout.includes('10.244.1.0/32'));
    await waitFor('a ping', () => pings());
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('the disk for logs is full: forwarding goes on and the end is orderly', async () => {
    const [from, to] = topology.nodes;
    const weft = new Weft(from!, ['--leases', leases, ...workers], '/dev/full');
    const other = new Weft(to!, ['--leases', leases, ...workers], '/dev/full');
    await Promise.all([weft.ready(), other.ready()]);
    assert.ok(pings());
    assert.ok(weft.metrics().sum('weft_log_write_errors_total') > 0);
    await assertIdle(weft);
    await Promise.all([weft.stop(), other.stop()]);
  });

  test('who reads the log goes away: forwarding goes on', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    for (const each of [weft!, other!]) {
      each.process.child.stdout!.destroy();
      each.process.child.stderr!.destroy();
    }
    writeFileSync(leases, 'garbage, so that there is something to say');
    ip(weft!.space.namespace, 'link set flannel0 down\nlink set flannel0 up\n');
    await waitFor('ready again', () => readiness(weft!).status === 200);
    await waitFor('a ping', () => pings());
    await assertIdle(weft!);
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('the lease file becomes garbage: the old leases stay until it is good again', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    for (const garbage of ['{"10.244.2.0-24": {"Publ', '[]', '', '\0\0']) {
      const failures = () => weft!.metrics().sum('weft_lease_source_failures_total');
      const before = failures();
      writeFileSync(leases, garbage);
      await waitFor(`word of ${JSON.stringify(garbage)}`, () => failures() > before);
      assert.ok(pings(), `forwarding ended with ${JSON.stringify(garbage)}`);
    }
    await assertIdle(weft!);
    writeLeases(topology, leasesOf(topology.nodes.slice(0, 1)));
    await waitFor(
      'the new leases',
      () => weft!.metrics().sum('weft_leases', { state: 'peer' }) === 0,
    );
    assert.equal(pings(), false);
    await Promise.all([weft!.stop(), other!.stop()]);
  });

  test('etcd dies: forwarding goes on, and follows again when it is back', async () => {
    const argvPrefix = inside(topology.underlay, []);
    const etcd = await startEtcd({ host: topology.underlayAddress, argvPrefix });
    const subnets = '/coreos.com/network/subnets';
    try {
      for (const [key, value] of Object.entries(leasesOf(topology.nodes))) {
        await etcd.put(`${subnets}/${key}`, JSON.stringify(value));
      }
      const args = ['--etcd-endpoints', etcd.endpoints.join(','), ...workers];
      const [weft, other] = await startAll(topology, args);
      assert.ok(pings());
      await etcd.members[0]!.kill();
      const { endpoints } = etcd;
      const state = () => weft!.metrics().sum('weft_lease_source_failures_total');
      await waitFor(`word of the loss of ${endpoints}`, () => state() > 0);
      assert.ok(pings());
      assert.equal(readiness(weft!).status, 200);
      await assertIdle(weft!);
      await etcd.members[0]!.restart();
      await etcd.delete(`${subnets}/10.244.2.0-24`);
      await waitFor('the removal', () => !pings());
      await Promise.all([weft!.stop(), other!.stop()]);
    } finally {
      await etcd.stop();
    }
  });

  test('killed without warning: the next start works', async () => {
    const [weft, other] = await startAll(topology, ['--leases', leases, ...workers]);
    await weft!.process.stop('SIGKILL');
    const again = await Weft.start(topology.nodes[0]!, ['--leases', leases, ...workers]);
    await waitFor('a ping', () => pings());
    await Promise.all([again.stop(), other!.stop()]);
  });
});

describe('faults at the start', () => {
  let topology: Topology;

  beforeEach(() => {
    topology = buildTopology({ nodes: 1 });
  });

  afterEach(() => topology.remove());

  async function assertEnds(code: number, message: RegExp, ...args: string[]): Promise<void> {
    const weft = new Weft(topology.nodes[0]!, ['--leases', writeLeases(topology), ...args]);
    const end = await weft.process.wait();
    assert.equal(end.code, code, weft.process.describe());
    assert.match(weft.process.stderr, message);
    const links = attempt(['ip', '-n', weft.space.namespace, 'link']).stdout;
    assert.doesNotMatch(links, /flannel0/, 'the device stays behind');
  }

  test('a foreign route for the overlay is named', async () => {
    ip(topology.nodes[0]!.namespace, 'route add 10.244.0.0/16 via 192.0.2.254 dev eth0\n');
    await assertEnds(3, /10\.244\.0\.0\/16.*192\.0\.2\.254/);
  });

  test('a taken UDP port is named', async () => {
    const listen = ['socat', '-u', 'UDP-RECV:8285,bind=192.0.2.1', '-'];
    const squatter = new Background(inside(topology.nodes[0]!.namespace, listen));
    const sockets = inside(topology.nodes[0]!.namespace, ['ss', '-Hlun']);
    await waitFor('the squatter', () => attempt(sockets).stdout.includes(':8285'));
    await assertEnds(3, /8285/);
    await squatter.stop('SIGKILL');
  });

  test('a taken metrics port is named', async () => {
    const listen = ['socat', '-u', 'TCP-LISTEN:8286,bind=127.0.0.1', '-'];
    const squatter = new Background(inside(topology.nodes[0]!.namespace, listen));
    const sockets = inside(topology.nodes[0]!.namespace, ['ss', '-Hltn']);
    await waitFor('the squatter', () => attempt(sockets).stdout.includes(':8286'));
    await assertEnds(3, /127\.0\.0\.1:8286/);
    await squatter.stop('SIGKILL');
  });

  test('an interface that is not there is named', async () => {
    await assertEnds(3, /wan7/, '--iface', 'wan7', '--iface-regex', 'wan8');
  });

  test('options that cannot work are named', async () => {
    await assertEnds(2, /--workers/, '--workers', 'many');
    await assertEnds(2, /subnet/, '--subnet', '10.99.0.0/24');
  });
});
