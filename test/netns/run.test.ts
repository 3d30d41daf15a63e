/** `weft run` in place of flanneld: what it leaves in etcd and on disk, and that packets flow. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import test, { after, afterEach, before, describe } from 'node:test';
import { Cluster, PREFIX, pings, waitForPing } from '../support/cluster.ts';
import { iperf } from '../support/iperf.ts';
import { httpGet } from '../support/node.ts';
import { run } from '../support/process.ts';
import type { NodeSpace } from '../support/topology.ts';

/** flannel's, in seconds. */
const TIME_TO_LIVE = 86_400;

function leaseValue(node: NodeSpace): string {
  return `{"PublicIP":"${node.address}","PublicIPv6":null}`;
}

describe('weft run in place of flanneld', () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.build({ nodes: 3 });
  });
  afterEach(async () => {
    for (const weft of [...cluster.wefts]) await cluster.stop(weft);
  });
  after(() => cluster?.remove());

  test('keeps what flanneld left in etcd: same keys, same values, same time to live', async () => {
    await cluster.configure();
    await cluster.reserveSubnets();
    const before = await cluster.etcd.list(PREFIX);
    await cluster.startAll();
    assert.deepEqual(await cluster.etcd.list(PREFIX), before);
    for (const node of cluster.nodes) {
      assert.equal((await cluster.leases()).get(node.subnetKey), leaseValue(node));
      const { granted, left } = (await cluster.timeToLive(node.subnetKey))!;
      assert.equal(granted, TIME_TO_LIVE);
      assert.ok(left > TIME_TO_LIVE - 300, `${left} s left`);
    }
  });

  test('writes subnet.env as flanneld does, once the network works', async () => {
    const [weft] = await cluster.startAll(['run', '--ip-masq']);
    const { subnetFile } = weft!.space;
    const text = [
      'FLANNEL_NETWORK=10.244.0.0/16',
      'FLANNEL_SUBNET=10.244.1.1/24',
      'FLANNEL_MTU=1472',
      'FLANNEL_IPMASQ=true',
      '',
    ];
    assert.equal(readFileSync(subnetFile, 'utf8'), text.join('\n'));
    assert.equal(statSync(subnetFile).mode & 0o777, 0o644);
    await cluster.stop(weft!);
    assert.equal(readFileSync(subnetFile, 'utf8'), text.join('\n'), 'kept at the end');
  });

  test('carries packets between pods of three nodes', async () => {
    await cluster.startAll();
    const pods = cluster.nodes.map(({ pod }) => pod);
    for (const from of pods) {
      for (const to of pods) if (from !== to) await waitForPing(from.namespace, to.address);
    }
    const [first, , third] = pods;
    const flow = { client: first!.namespace, server: third!.namespace, address: third!.address };
    const { bitsPerSecond } = await iperf({ ...flow, seconds: 1 });
    assert.ok(bitsPerSecond > 0);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`a restart after ${signal} keeps the subnet`, async () => {
      const [weft, other] = await cluster.startAll();
      const { pod, namespace } = weft!.space;
      const leases = await cluster.leases();
      await weft!.process.stop(signal);
      cluster.wefts.splice(cluster.wefts.indexOf(weft!), 1);
      const links = run(['ip', '-n', namespace, 'link']);
      if (signal === 'SIGTERM') assert.doesNotMatch(links, /flannel0/);
      await cluster.start(weft!.space);
      await waitForPing(pod.namespace, other!.space.pod.address);
      assert.deepEqual(await cluster.leases(), leases);
    });
  }

  test("takes flanneld's command line as it is", async () => {
    const flags = [
      '-ip-masq=true',
      '-v=2',
      '-ip-blackhole-route',
      '-subnet-lease-renew-margin',
      '30',
    ];
    const weft = await cluster.start(cluster.nodes[0]!, ['run', ...flags]);
    assert.match(weft.process.stdout, /--v=2 has no effect/);
    const routes = run(['ip', '-n', weft.space.namespace, 'route', 'show', 'type', 'blackhole']);
    assert.match(routes, /^blackhole 10\.244\.1\.0\/24 metric 4096/m);
    assert.match(readFileSync(weft.space.subnetFile, 'utf8'), /FLANNEL_IPMASQ=true\n/);
  });

  test("answers where flannel's health is looked for, and tells its lease in metrics", async () => {
    const [weft] = await cluster.startAll(['run', '--healthz-port', '8081']);
    const { namespace } = weft!.space;
    for (const path of ['/healthz', '/readyz']) {
      assert.equal(httpGet(namespace, path, 8081).status, 200, path);
    }
    const metrics = weft!.metrics();
    assert.equal(metrics.sum('weft_own_lease_held'), 1);
    assert.ok(metrics.sum('weft_own_lease_left_seconds') > TIME_TO_LIVE - 300);
    assert.equal(metrics.sum('weft_backend', { type: 'udp' }), 1);
    assert.equal(metrics.sum('weft_backend_peers', { state: 'programmed' }), 2);
    assert.equal(metrics.sum('weft_firewall_in_force'), 1);
    assert.ok(pings(weft!.space.pod.namespace, '10.244.2.2'));
  });
});
