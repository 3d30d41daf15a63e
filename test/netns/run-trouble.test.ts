/** What happens to a node that runs `weft run`: each with its stated outcome, without leaving. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import test, { afterEach, beforeEach, describe } from 'node:test';
import {
  Cluster,
  PREFIX,
  pings,
  readiness,
  SUBNETS,
  waitForPing,
  waitUntilNotReady,
} from '../support/cluster.ts';
import { readSubnetFile } from '../support/cni.ts';
import type { Weft } from '../support/node.ts';
import { attempt } from '../support/process.ts';
import { ip, type NodeSpace } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** An hour shows what a minute does; ten minutes are for who has them. */
const ETCD_AWAY_MS = process.env.TEST_LONG === '1' ? 600_000 : 12_000;

describe('a node that runs weft run', () => {
  let cluster: Cluster;

  beforeEach(async () => {
    cluster = await Cluster.build();
    await cluster.configure();
    await cluster.reserveSubnets();
  });
  afterEach(() => cluster.remove());

  const podOf = ({ space }: Weft) => space.pod;

  async function ready(weft: Weft): Promise<void> {
    await waitFor('readiness', () => readiness(weft).status === 200, { every: 50 });
  }

  const linksOf = (node: NodeSpace) => attempt(['ip', '-n', node.namespace, 'link']).stdout;

  test('waits for a network config that is not there, and takes it when it is put', async () => {
    await cluster.etcd.delete(`${PREFIX}/config`);
    const weft = cluster.launch(cluster.nodes[0]!);
    await waitUntilNotReady(
      weft,
      /no network config at \/coreos\.com\/network\/config|network config/,
    );
    assert.equal(existsSync(weft.space.subnetFile), false);
    await cluster.configure();
    await ready(weft);
    assert.equal(readSubnetFile(weft.space.subnetFile).FLANNEL_SUBNET, '10.244.1.1/24');
    const lines = weft.process.stdout.split('\n').filter((line) => line.includes('waiting for it'));
    assert.equal(lines.length, 1, 'one line, not one a second');
  });

  test('names every fault of a bad network config, and takes it when it is corrected', async () => {
    const bad = { Network: '10.244.0.0', SubnetLen: 31, Backend: {} };
    await cluster.etcd.put(`${PREFIX}/config`, JSON.stringify(bad));
    const weft = cluster.launch(cluster.nodes[0]!);
    await waitUntilNotReady(weft, /Network: .*Backend\.Type: /s);
    await cluster.configure();
    await ready(weft);
  });

  for (const [what, backend, reason] of [
    ['a backend that there is not', { Type: 'ipip' }, /"ipip" is no backend .*udp, vxlan/],
    ['a port that there is not', { Type: 'udp', Port: 70_000 }, /Backend\.Port: 70000 must/],
  ] as const) {
    test(`${what} is named, and waited out`, async () => {
      await cluster.configure(backend);
      const weft = cluster.launch(cluster.nodes[0]!);
      await waitUntilNotReady(weft, reason);
      await cluster.configure();
      await ready(weft);
      assert.match(linksOf(weft.space), /flannel0/);
    });
  }

  test('etcd is away: forwarding goes on, ready, and follows again when it is back', async () => {
    const [weft, other] = await cluster.startAll();
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    const [member] = cluster.etcd.members;
    await member!.kill();
    const end = performance.now() + ETCD_AWAY_MS;
    await waitFor(
      'the time without etcd',
      () => {
        assert.ok(pings(podOf(weft!).namespace, podOf(other!).address), 'forwarding went on');
        assert.equal(readiness(weft!).status, 200);
        return performance.now() > end;
      },
      { every: 500 },
    );
    await member!.restart();
    await cluster.etcd.put(
      `${SUBNETS}/10.244.9.0-24`,
      '{"PublicIP":"192.0.2.9","PublicIPv6":null}',
    );
    const peers = () => weft!.metrics().sum('weft_leases', { state: 'peer' });
    await waitFor('the new peer', () => peers() === 2, { every: 100 });
  });

  test('its lease is deleted: not ready and nothing forwarded, then held again', async () => {
    const [weft, other] = await cluster.startAll();
    const { pid } = weft!.process;
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    await cluster.etcd.delete(`${SUBNETS}/${weft!.space.subnetKey}`);
    await weft!.process.waitForOutput(/the lease is lost/);
    await ready(weft!);
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    assert.equal(weft!.process.pid, pid);
    assert.equal(weft!.metrics().sum('weft_own_lease_lost_total'), 1);
    assert.ok((await cluster.leases()).has(weft!.space.subnetKey), 'the same subnet again');
  });

  test('its subnet goes to another node: forwarding ends, another subnet is taken', async () => {
    const [weft] = await cluster.startAll();
    const stranger = '{"PublicIP":"192.0.2.77","PublicIPv6":null}';
    await cluster.etcd.put(`${SUBNETS}/10.244.1.0-24`, stranger);
    await weft!.process.waitForOutput(/the lease is lost/);
    await waitFor('another subnet', () => {
      const { FLANNEL_SUBNET } = readSubnetFile(weft!.space.subnetFile);
      return FLANNEL_SUBNET !== '10.244.1.1/24' && readiness(weft!).status === 200;
    });
    const leases = await cluster.leases();
    assert.equal(leases.get('10.244.1.0-24'), stranger, "the other node's lease is untouched");
    const { FLANNEL_SUBNET } = readSubnetFile(weft!.space.subnetFile);
    const base = FLANNEL_SUBNET!.replace(/\.1\/24$/, '.0');
    assert.ok(leases.has(`${base}-24`), `${base} of ${[...leases.keys()]}`);
    const show = ['ip', '-n', weft!.space.namespace, 'addr', 'show', 'dev', 'flannel0'];
    assert.match(attempt(show).stdout, new RegExp(`inet ${base.replaceAll('.', '\\.')}/32`));
  });

  test('no subnet is left for it: nothing is forwarded until one comes free', async () => {
    await cluster.configure(undefined, { SubnetMin: '10.244.1.0', SubnetMax: '10.244.2.0' });
    const [weft, other] = await cluster.startAll();
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    const key = `${SUBNETS}/${weft!.space.subnetKey}`;
    await cluster.etcd.put(key, '{"PublicIP":"192.0.2.77","PublicIPv6":null}');
    await waitUntilNotReady(weft!, /no free subnet|no subnet|lease/);
    await waitFor('the device to go', () => !linksOf(weft!.space).includes('flannel0'));
    assert.equal(pings(podOf(weft!).namespace, podOf(other!).address), false);
    assert.equal(weft!.metrics().sum('weft_own_lease_held'), 0);
    await cluster.etcd.delete(key);
    await ready(weft!);
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
  });

  test('the address of its interface changes: published, and peers follow', async () => {
    const [weft, other] = await cluster.startAll();
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    const change = 'addr del 192.0.2.1/24 dev eth0\naddr add 192.0.2.101/24 dev eth0\n';
    ip(weft!.space.namespace, `${change}route replace default via 192.0.2.254\n`);
    const moved = '{"PublicIP":"192.0.2.101","PublicIPv6":null}';
    await waitFor('the new PublicIP', async () => {
      return (await cluster.leases()).get('10.244.1.0-24') === moved;
    });
    assert.equal((await cluster.leases()).size, 2, 'no second lease');
    await ready(weft!);
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    await waitForPing(podOf(other!).namespace, podOf(weft!).address);
    assert.equal(weft!.process.end, undefined);
  });

  test('flannel0 is deleted: made anew in the same process, the lease held on', async () => {
    const [weft, other] = await cluster.startAll();
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    ip(weft!.space.namespace, 'link del flannel0\n');
    await weft!.process.waitForOutput(/flannel0 was deleted under weft: creating it again/);
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    await ready(weft!);
    assert.equal(weft!.metrics().sum('weft_device_recreations_total'), 1);
    assert.equal(weft!.metrics().sum('weft_own_lease_lost_total'), 0);
    assert.equal(weft!.process.end, undefined);
  });

  test('SIGHUP takes over another network config, and leaves a bad one alone', async () => {
    const wefts = await cluster.startAll();
    const [weft, other] = wefts;
    await cluster.etcd.put(`${PREFIX}/config`, '{"Network": "nonsense"}');
    weft!.process.child.kill('SIGHUP');
    await weft!.process.waitForOutput(/cannot be used.*in force stays/);
    await cluster.configure({ Type: 'ipip' });
    weft!.process.child.kill('SIGHUP');
    await weft!.process.waitForOutput(/ipip.*in force stays/);
    assert.ok(pings(podOf(weft!).namespace, podOf(other!).address));
    await cluster.configure({ Type: 'udp', Port: 8299 });
    for (const each of wefts) each.process.child.kill('SIGHUP');
    for (const each of wefts) await each.process.waitForOutput(/is another: taking it over/);
    for (const each of wefts) await each.process.waitForOutput(/over eth0 192\.0\.2\.\d:8299/);
    await ready(weft!);
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    weft!.process.child.kill('SIGHUP');
    await weft!.process.waitForOutput(/the network config is the same/);
    assert.ok(pings(podOf(weft!).namespace, podOf(other!).address));
  });

  test('SIGHUP to another Network leaves nothing of the old one behind', async () => {
    await cluster.configure({ Type: 'vxlan' });
    const [weft, other] = await cluster.startAll();
    await waitForPing(podOf(weft!).namespace, podOf(other!).address);
    const { namespace } = weft!.space;
    const traces = () =>
      [
        ['ip', '-n', namespace, '-4', 'route', 'show'],
        ['ip', '-n', namespace, '-4', 'neigh', 'show', 'nud', 'permanent'],
        ['ip', '-n', namespace, '-4', 'address', 'show', 'dev', 'flannel.1'],
        ['ip', 'netns', 'exec', namespace, 'bridge', 'fdb', 'show', 'dev', 'flannel.1'],
      ]
        .map((argv) => attempt(argv).stdout)
        .join('');
    const old = /via 10\.244\.|10\.244\.\d+\.\d+ (?:dev|lladdr)|inet 10\.244\.|dst 192\.0\.2\./;
    assert.match(traces(), old);
    await cluster.configure({ Type: 'vxlan' }, { Network: '10.99.0.0/16' });
    weft!.process.child.kill('SIGHUP');
    await weft!.process.waitForOutput(/holding 10\.99\.\d+\.0\/24 of 10\.99\.0\.0\/16/);
    await waitFor('the address of the new one', () => /inet 10\.99\./.test(traces()));
    assert.doesNotMatch(traces(), old);
    await ready(weft!);
  });

  test('weft agent keeps the lease and leaves packets to weft dataplane', async () => {
    const [first, second] = cluster.nodes;
    const agent = await cluster.start(first!, ['agent']);
    assert.doesNotMatch(linksOf(first!), /flannel0/);
    assert.equal(readSubnetFile(first!.subnetFile).FLANNEL_MTU, '1472');
    await cluster.start(second!);
    const beside = ['--metrics-listen', '127.0.0.1:8287', '--api-socket', 'none'];
    const dataplane = cluster.launch(first!, ['dataplane', ...beside]);
    await dataplane.process.waitForOutput(/ready: 1 peer/);
    await waitForPing(first!.pod.namespace, second!.pod.address);
    ip(first!.namespace, 'addr del 192.0.2.1/24 dev eth0\naddr add 192.0.2.101/24 dev eth0\n');
    ip(first!.namespace, 'route replace default via 192.0.2.254\n');
    await dataplane.process.waitForOutput(/over eth0 192\.0\.2\.101:8285/);
    await waitForPing(first!.pod.namespace, second!.pod.address);
    assert.equal(agent.process.end ?? dataplane.process.end, undefined);
  });
});
