/** Another Network was put while weft did not run: its first start clears what the old one left. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Cluster, readiness, waitForPing } from '../support/cluster.ts';
import type { Weft } from '../support/node.ts';
import { attempt } from '../support/process.ts';
import { inside, ip, type NodeSpace } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const NEXT = { Network: '10.99.0.0/16' };
const FIREWALL = ['--ip-masq', '--ip-blackhole-route'];
/** Whatever names the old network. */
const OLD = /10\.244\./;
/** What somebody else set inside the old network, and on the very devices. */
const OTHERS = `route add 10.244.88.0/24 via 192.0.2.254 proto static
route add 10.244.89.0/24 via 192.0.2.254 metric 7
route add blackhole 10.244.90.0/24 metric 4096
address add 10.244.91.1/24 dev eth0
`;
const THEIRS = /10\.244\.(?:88|89|90|91)\./;

describe('a start with another Network than that of subnet.env', () => {
  let cluster: Cluster;

  beforeEach(async () => {
    cluster = await Cluster.build();
  });
  afterEach(() => cluster.remove());

  function traces({ namespace }: NodeSpace): string[] {
    const show = [
      ['ip', '-n', namespace, '-4', 'route', 'show', 'table', 'main'],
      ['ip', '-n', namespace, '-4', 'neigh', 'show', 'nud', 'permanent'],
      ['ip', '-n', namespace, '-4', '-o', 'address'],
      inside(namespace, ['nft', 'list', 'ruleset']),
    ];
    return show.flatMap((argv) => attempt(argv).stdout.split('\n')).map((line) => line.trim());
  }

  /** The bridge is the pods' own. */
  const old = (node: NodeSpace) =>
    traces(node).filter((line) => OLD.test(line) && !line.includes('cni0'));
  const forwarding = ({ namespace }: NodeSpace, device: string) =>
    attempt(inside(namespace, ['bridge', 'fdb', 'show', 'dev', device])).stdout;

  /** Two nodes that reach each other in the old network, of which the first ends. */
  async function liveAndEnd(
    backend: object | undefined,
    signal: NodeJS.Signals,
  ): Promise<NodeSpace> {
    await cluster.configure(backend);
    await cluster.reserveSubnets();
    const wefts = await cluster.startAll(['run', ...FIREWALL]);
    const [weft, other] = wefts as [Weft, Weft];
    await waitForPing(weft.space.pod.namespace, other.space.pod.address);
    await weft.process.stop(signal);
    return weft.space;
  }

  async function startInNext(node: NodeSpace, backend: object | undefined): Promise<Weft> {
    await cluster.configure(backend, NEXT);
    const weft = await cluster.start(node, ['run', ...FIREWALL]);
    assert.match(weft.process.stdout, /removed what is left of 10\.244\.0\.0\/16, the network of/);
    return weft;
  }

  for (const [what, backend, signal] of [
    ['udp that was killed', undefined, 'SIGKILL'],
    ['udp', undefined, 'SIGTERM'],
    ['vxlan', { Type: 'vxlan' }, 'SIGTERM'],
    ['vxlan with DirectRouting', { Type: 'vxlan', DirectRouting: true }, 'SIGTERM'],
    ['host-gw', { Type: 'host-gw' }, 'SIGTERM'],
  ] as const) {
    test(`clears what is left of ${what}, and nothing of others`, async () => {
      const node = await liveAndEnd(backend, signal);
      assert.notDeepEqual(old(node), []);
      ip(node.namespace, OTHERS);
      await startInNext(node, backend);
      assert.deepEqual(
        old(node).filter((line) => !THEIRS.test(line)),
        [],
      );
      assert.equal(old(node).filter((line) => THEIRS.test(line)).length, 5);
      assert.ok(traces(node).some((line) => line.includes('10.99.')));
    });
  }

  test('keeps the vxlan device, and entries of others on it', async () => {
    const node = await liveAndEnd({ Type: 'vxlan' }, 'SIGTERM');
    const index = () => attempt(['ip', '-n', node.namespace, '-o', 'link', 'show', 'flannel.1']);
    const before = index().stdout.split(':')[0];
    ip(
      node.namespace,
      `neigh add 198.51.100.7 lladdr 02:00:00:00:00:07 dev flannel.1 nud permanent
address add 198.51.100.1/32 dev flannel.1
`,
    );
    const add = ['bridge', 'fdb', 'add', '02:00:00:00:00:07', 'dev', 'flannel.1', 'dst'];
    attempt(inside(node.namespace, [...add, '192.0.2.7', 'self', 'permanent']));
    await startInNext(node, { Type: 'vxlan' });
    assert.equal(index().stdout.split(':')[0], before);
    const entries = forwarding(node, 'flannel.1');
    assert.match(entries, /02:00:00:00:00:07 dst 192\.0\.2\.7/);
    assert.doesNotMatch(entries, /dst 192\.0\.2\.2/);
    assert.match(traces(node).join('\n'), /198\.51\.100\.7 dev flannel\.1 lladdr/);
    assert.match(traces(node).join('\n'), /flannel\.1\s+inet 198\.51\.100\.1\/32/);
  });

  test('leaves no device of another backend behind', async () => {
    const node = await liveAndEnd({ Type: 'vxlan' }, 'SIGTERM');
    await startInNext(node, undefined);
    const links = attempt(['ip', '-n', node.namespace, '-o', 'link']).stdout;
    assert.doesNotMatch(links, /flannel\.1/);
    assert.match(links, /flannel0/);
  });

  test('takes the rules away where none are wanted any more', async () => {
    const node = await liveAndEnd(undefined, 'SIGTERM');
    await cluster.configure(undefined, NEXT);
    await cluster.start(node, ['run', '--iptables-forward-rules=false']);
    assert.deepEqual(old(node), []);
  });

  test('leaves routes alone where somebody else moves the packets', async () => {
    const node = await liveAndEnd({ Type: 'host-gw' }, 'SIGTERM');
    const routes = () => old(node).filter((line) => line.includes(' via '));
    const before = routes();
    assert.notDeepEqual(before, []);
    await startInNext(node, { Type: 'alloc' });
    assert.deepEqual(routes(), before);
  });

  test('touches nothing where the network is the same', async () => {
    const node = await liveAndEnd({ Type: 'vxlan' }, 'SIGTERM');
    const before = traces(node).join('\n');
    await cluster.configure({ Type: 'vxlan' }, { SubnetMin: '10.244.1.0' });
    const weft = await cluster.start(node, ['run', ...FIREWALL]);
    await waitFor('readiness', () => readiness(weft).status === 200);
    assert.doesNotMatch(weft.process.stdout, /what is left of/);
    assert.equal(traces(node).join('\n'), before);
  });
});
