/**
 * Three nodes with `weft run`, pods by the real CNI plugins from a conflist generated out of
 * subnet.env, as a container runtime makes them: udp, vxlan and host-gw by one list of cases, and a
 * live cluster that goes from one to the next node by node.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { after, before, describe } from 'node:test';
import { Cluster, readiness, waitForPing } from '../support/cluster.ts';
import { addPod, type CniPod, readSubnetFile } from '../support/cni.ts';
import { iperf } from '../support/iperf.ts';
import { attempt, Background, run, runAside } from '../support/process.ts';
import { inside, type NodeSpace } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const UNDERLAY_MTU = 1500;

interface Case {
  readonly name: string;
  readonly config: object | undefined;
  /** Bytes around each packet of a pod. */
  readonly overhead: number;
}

const UDP: Case = { name: 'udp', config: undefined, overhead: 28 };
const VXLAN: Case = { name: 'vxlan', config: { Type: 'vxlan' }, overhead: 50 };
const HOST_GW: Case = { name: 'host-gw', config: { Type: 'host-gw' }, overhead: 0 };

async function attachPods(cluster: Cluster): Promise<CniPod[]> {
  const state = `${cluster.topology.directory}/cni`;
  return cluster.nodes.map((node) => addPod(node, node.pod.namespace, state));
}

/** Every pod reaches every other. */
async function meshPings(pods: readonly CniPod[]): Promise<void> {
  for (const from of pods) {
    for (const to of pods) if (from !== to) await waitForPing(from.namespace, to.address);
  }
}

async function carries(client: string, server: string, address: string): Promise<void> {
  const { bitsPerSecond } = await iperf({ client, server, address, seconds: 1 });
  assert.ok(bitsPerSecond > 0, `${client} to ${address}`);
}

/** The address that a server in one namespace sees a client in another come from. */
async function sourceSeen(server: string, address: string, client: string): Promise<string> {
  const listen = ['socat', '-d', '-d', 'TCP-LISTEN:7100,reuseaddr', 'SYSTEM:echo $SOCAT_PEERADDR'];
  const listener = new Background(inside(server, listen));
  try {
    await listener.waitForOutput(/listening on/);
    const { stdout } = await runAside(inside(client, ['socat', '-T5', '-', `TCP:${address}:7100`]));
    return stdout.trim();
  } finally {
    await listener.stop('SIGKILL');
  }
}

for (const { name, config, overhead } of [UDP, VXLAN, HOST_GW]) {
  describe(`${name}, with pods by CNI plugins`, () => {
    let cluster: Cluster;
    let pods: CniPod[];

    before(async () => {
      cluster = await Cluster.build({ nodes: 3, bare: true });
      await cluster.configure(config);
      await cluster.startAll(['run', '--ip-masq']);
      pods = await attachPods(cluster);
    });
    after(() => cluster?.remove());

    test('subnet.env carries the MTU, and pods have it', () => {
      for (const { node, namespace } of pods) {
        const { FLANNEL_MTU } = readSubnetFile(node.subnetFile);
        assert.equal(FLANNEL_MTU, String(UNDERLAY_MTU - overhead));
        const path = ['cat', '/sys/class/net/eth0/mtu'];
        const { stdout } = attempt(inside(namespace, path));
        assert.equal(stdout.trim(), FLANNEL_MTU);
      }
    });

    test('pods reach pods', async () => {
      await meshPings(pods);
      const [first, , third] = pods;
      await carries(first!.namespace, third!.namespace, third!.address);
    });

    test('pods are seen by pods as themselves', async () => {
      const [first, second] = pods;
      const seen = await sourceSeen(second!.namespace, second!.address, first!.namespace);
      assert.equal(seen, first!.address);
    });

    test('pods reach nodes, and nodes reach pods', async () => {
      const [first, , third] = pods;
      const [near, , far] = cluster.nodes;
      await waitForPing(first!.namespace, far!.address);
      await waitForPing(near!.namespace, third!.address);
      await carries(first!.namespace, far!.namespace, far!.address);
      await carries(near!.namespace, third!.namespace, third!.address);
    });

    test('pods reach the outside, seen there as their node', async () => {
      const { underlay, underlayAddress } = cluster.topology;
      for (const { namespace, node } of pods.slice(0, 2)) {
        await waitForPing(namespace, underlayAddress);
        assert.equal(await sourceSeen(underlay, underlayAddress, namespace), node.address);
      }
    });
  });
}

function routeTo(pod: CniPod, from: NodeSpace): string {
  return run(['ip', '-n', from.namespace, 'route', 'get', pod.address]);
}

describe('a live cluster', () => {
  let cluster: Cluster;
  const ways: Readonly<Record<string, RegExp>> = {
    udp: /dev flannel0 /,
    vxlan: /dev flannel\.1 /,
    'host-gw': /via 192\.0\.2\.3 dev eth0 /,
  };

  before(async () => {
    cluster = await Cluster.build({ nodes: 3, bare: true });
  });
  after(() => cluster?.remove());

  test('goes from udp to vxlan to host-gw and back, node by node', async () => {
    await cluster.configure(UDP.config);
    const wefts = await cluster.startAll(['run', '--ip-masq']);
    const pods = await attachPods(cluster);
    await meshPings(pods);
    const subnets = [...(await cluster.leases()).keys()];
    for (const { name, config, overhead } of [VXLAN, HOST_GW, UDP]) {
      await cluster.configure(config);
      for (const weft of wefts) {
        weft.process.child.kill('SIGHUP');
        const backend = () => weft.metrics().sum('weft_backend', { type: name });
        const what = `node ${weft.space.index} to run ${name}`;
        await waitFor(what, () => backend() === 1 && readiness(weft).status === 200, { every: 50 });
        const mtu = `FLANNEL_MTU=${UNDERLAY_MTU - overhead}\n`;
        assert.ok(readFileSync(weft.space.subnetFile, 'utf8').includes(mtu));
      }
      await meshPings(pods);
      const [first, , third] = pods;
      assert.match(routeTo(third!, first!.node), ways[name]!);
      await carries(first!.namespace, third!.namespace, third!.address);
    }
    assert.deepEqual([...(await cluster.leases()).keys()], subnets);
  });
});
