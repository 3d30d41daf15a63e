/** Network configs that weft cannot be a member of: told by name, and nothing given up for them. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Cluster, pings, readiness, waitForPing, waitUntilNotReady } from '../support/cluster.ts';
import { readSubnetFile } from '../support/cni.ts';
import type { Weft } from '../support/node.ts';
import { attempt } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';

const IPV6 = { EnableIPv6: true, IPv6Network: 'fd00:244::/48' };

describe('a network config that cannot be used', () => {
  let cluster: Cluster;

  beforeEach(async () => {
    cluster = await Cluster.build();
    await cluster.configure();
    await cluster.reserveSubnets();
  });
  afterEach(() => cluster.remove());

  const links = ({ space }: Weft) => attempt(['ip', '-n', space.namespace, '-o', 'link']).stdout;
  const reach = (one: Weft, other: Weft) => pings(one.space.pod.namespace, other.space.pod.address);
  const ready = (weft: Weft) => waitFor('readiness', () => readiness(weft).status === 200);

  async function refusedAtReload(weft: Weft, reason: RegExp): Promise<void> {
    weft.process.child.kill('SIGHUP');
    await weft.process.waitForOutput(reason);
  }

  test('is refused at SIGHUP, and what is in force goes on untouched', async () => {
    const [weft, other] = (await cluster.startAll()) as [Weft, Weft];
    await waitForPing(weft.space.pod.namespace, other.space.pod.address);
    const before = links(weft);
    for (const [backend, rest, reason] of [
      [
        { Type: 'udp', Port: 70_000 },
        {},
        /SIGHUP: .*Backend\.Port: 70000 .*force stays; SIGHUP again/,
      ],
      [{ Type: 'vxlan', VNI: 'one' }, {}, /SIGHUP: .*Backend\.VNI: \\"one\\" .*force stays/],
      [{ Type: 'vxlan', MTU: 60 }, {}, /SIGHUP: no room for packets: MTU 60 .*force stays/],
      [{ Type: 'vxlan' }, IPV6, /SIGHUP: .*'vxlan', weft carries IPv4 alone.*force stays/],
      [undefined, { ...IPV6, EnableIPv4: false }, /SIGHUP: .*IPv6 alone.*force stays/],
    ] as const) {
      await cluster.configure(backend, rest);
      await refusedAtReload(weft, reason);
      assert.ok(reach(weft, other), 'forwarding went on');
      assert.equal(readiness(weft).status, 200);
    }
    assert.equal(links(weft), before, 'the device is the same one');
    const { stdout } = weft.process;
    assert.equal(stdout.match(/forwarding 10\.244/g)!.length, 1, 'the pumps are the same');
    await cluster.configure({ Type: 'udp', Port: 8299 });
    for (const each of [weft, other]) each.process.child.kill('SIGHUP');
    await weft.process.waitForOutput(/over eth0 192\.0\.2\.1:8299/);
    await waitForPing(weft.space.pod.namespace, other.space.pod.address);
  });

  test('host-gw behind NAT is refused at SIGHUP', async () => {
    const weft = await cluster.start(cluster.nodes[0]!, ['run', '--public-ip', '203.0.113.7']);
    await cluster.configure({ Type: 'host-gw' });
    await refusedAtReload(weft, /host-gw cannot work behind NAT.*force stays/);
    assert.equal(readiness(weft).status, 200);
  });

  test('IPv6 with udp: a lease as flanneld makes it, and pods with IPv4 alone', async () => {
    for (const { subnetKey } of cluster.nodes) {
      await cluster.etcd.delete(`/coreos.com/network/subnets/${subnetKey}`);
    }
    await cluster.configure(undefined, IPV6);
    const weft = await cluster.start(cluster.nodes[0]!);
    assert.match(weft.process.stdout, /enables IPv6, which weft does not carry/);
    const [[key, value], ...more] = await cluster.leases();
    assert.equal(more.length, 0);
    assert.match(key!, /^10\.244\.\d+\.0-24&fd00:244:0:[0-9a-f]+::-64$/);
    assert.equal(value, '{"PublicIP":"192.0.2.1","PublicIPv6":null}');
    assert.deepEqual(Object.keys(readSubnetFile(weft.space.subnetFile)), [
      ...['FLANNEL_NETWORK', 'FLANNEL_SUBNET', 'FLANNEL_MTU', 'FLANNEL_IPMASQ'],
    ]);
    await cluster.stop(weft);
    await cluster.start(cluster.nodes[0]!);
    assert.deepEqual([...(await cluster.leases()).keys()], [key], 'the same lease again');
  });

  for (const type of ['vxlan', 'host-gw']) {
    test(`IPv6 with ${type} is waited out, and claims no lease`, async () => {
      await cluster.configure({ Type: type }, IPV6);
      const before = await cluster.leases();
      const weft = cluster.launch(cluster.nodes[0]!);
      await waitUntilNotReady(
        weft,
        new RegExp(`'${type}', weft carries IPv4.*EnableIPv6 to false`),
      );
      assert.deepEqual(await cluster.leases(), before);
      await cluster.configure({ Type: type });
      await ready(weft);
    });
  }
});
