/**
 * Everything that follows a device, after each way in which a device becomes another one: each
 * works again by itself.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Peers } from '../../src/api/schema.ts';
import { Cluster, pings, readiness, SUBNETS } from '../support/cluster.ts';
import { ask, type Weft, weftPath } from '../support/node.ts';
import { attempt, Background } from '../support/process.ts';
import { inside, ip, type NodeSpace } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const PACE = { every: 100 };

describe('after each way in which a device becomes another', () => {
  let cluster: Cluster;
  let node: NodeSpace;
  let peer: NodeSpace;
  let wefts: Weft[];
  /** Started before all ways. */
  let monitor: Background;

  before(async () => {
    cluster = await Cluster.build();
    [node, peer] = cluster.nodes as [NodeSpace, NodeSpace];
    await cluster.configure();
    await cluster.reserveSubnets();
    wefts = cluster.nodes.map((each) => cluster.launch(each, ['run', '--probe-interval', '1']));
    for (const weft of wefts) {
      await waitFor('readiness', () => readiness(weft).status === 200, PACE);
    }
    const words = ['monitor', '-o', 'json', '--follow', 'icmp', '--api-socket', node.apiSocket];
    monitor = new Background(inside(node.namespace, [process.execPath, weftPath, ...words]));
  });
  after(async () => {
    await monitor?.stop('SIGKILL');
    await cluster?.remove();
  });

  const reaches = () => pings(node.pod.namespace, peer.pod.address);
  const index = (device: string) =>
    attempt(['ip', '-n', node.namespace, '-o', 'link', 'show', 'dev', device]).stdout.split(':')[0];
  const peers = () => Peers.parse(JSON.parse(ask(node, 'peers', '-o', 'json').stdout)).peers;
  const sent = () => wefts[0]!.metrics().sum('weft_packets_total', { direction: 'tx' });
  const addresses = () =>
    attempt(['ip', '-n', node.namespace, '-4', 'addr', 'show', 'dev', 'flannel0']).stdout;
  const type = (weft: Weft) => (name: string) => weft.metrics().sum('weft_backend', { type: name });

  async function takeOver(backend: object, name: string): Promise<void> {
    await cluster.configure(backend);
    for (const weft of wefts) {
      weft.process.child.kill('SIGHUP');
      await waitFor(`${name} on node ${weft.space.index}`, () => type(weft)(name) === 1, PACE);
    }
  }

  /** Makes the NIC of the node anew, with the same name and address. */
  function replug(): void {
    const { underlay } = cluster.topology;
    ip(
      underlay,
      `link del to-n1
       link add to-n1 type veth peer name eth0 netns ${node.namespace}
       link set to-n1 master br0 up\n`,
    );
    ip(
      node.namespace,
      `addr add ${node.address}/24 dev eth0
       link set eth0 up
       route add default via 192.0.2.254\n`,
    );
  }

  interface Way {
    readonly what: string;
    readonly happens: () => Promise<void> | void;
    /** The link that is another one afterwards. */
    readonly other?: string;
    readonly pathMtu?: number;
  }

  const WAYS: readonly Way[] = [
    { what: 'nothing happened', happens: () => undefined },
    {
      what: 'it was deleted',
      happens: () => ip(node.namespace, 'link del flannel0\n'),
      other: 'flannel0',
    },
    {
      what: 'somebody deleted it and made another of the name',
      happens: () => {
        const again = 'link del flannel0\ntuntap add dev flannel0 mode tun multi_queue\n';
        // weft may have been there first.
        attempt(['ip', '-n', node.namespace, '-force', '-batch', '-'], { input: again });
      },
      other: 'flannel0',
    },
    {
      what: 'it got another name',
      happens: () =>
        ip(
          node.namespace,
          'link set flannel0 down\nlink set flannel0 name wan7\nlink set wan7 up\n',
        ),
    },
    {
      what: 'it was moved to another network namespace',
      happens: () => ip(node.namespace, `link set flannel0 netns ${cluster.topology.underlay}\n`),
      other: 'flannel0',
    },
    {
      what: 'it was down for a while',
      happens: async () => {
        ip(node.namespace, 'link set flannel0 down\n');
        await waitFor('word of it', () => readiness(wefts[0]!).status === 503, PACE);
        ip(node.namespace, 'link set flannel0 up\n');
      },
    },
    { what: 'the NIC under it was plugged anew', happens: replug, other: 'eth0' },
    {
      what: 'the NIC under it got another MTU',
      happens: () => ip(node.namespace, 'link set eth0 mtu 1400\n'),
      pathMtu: 1400,
    },
    {
      what: 'that MTU was set back',
      happens: () => ip(node.namespace, 'link set eth0 mtu 1500\n'),
    },
    {
      what: 'the lease was lost and taken again',
      happens: async () => {
        const before = index('flannel0');
        await cluster.etcd.delete(`${SUBNETS}/${node.subnetKey}`);
        await waitFor('the new device', () => index('flannel0') !== before, PACE);
      },
      other: 'flannel0',
    },
    {
      what: 'another backend was in force for a while',
      happens: async () => {
        await takeOver({ Type: 'vxlan' }, 'vxlan');
        await takeOver({ Type: 'udp' }, 'udp');
      },
      other: 'flannel0',
    },
    {
      what: 'SIGHUP brought another port',
      happens: async () => {
        await cluster.configure({ Type: 'udp', Port: 8385 });
        for (const weft of wefts) weft.process.child.kill('SIGHUP');
        await waitFor(
          'the other port',
          () => wefts.every((weft) => /port":8385/.test(weft.process.stdout)),
          PACE,
        );
      },
    },
  ];

  for (const way of WAYS) {
    test(`when ${way.what}, each follower works again`, async () => {
      const began = Date.now() / 1000;
      const [devices, before] = [index(way.other ?? 'lo'), sent()];
      await way.happens();
      const ready = () => readiness(wefts[0]!);
      await waitFor('readiness', () => ready().status === 200 || ready().body, PACE);
      await waitFor('readiness', () => ready().status === 200, PACE);
      await waitFor('a ping of pods', reaches, PACE);
      if (way.other !== undefined) assert.notEqual(index(way.other), devices);
      await waitFor(
        'the probe',
        () => {
          const [probed] = peers();
          return (probed?.probe?.lastAnswerSeconds ?? 0) > began && probed!.probe!.lossRatio < 1;
        },
        PACE,
      );
      const pathMtu = way.pathMtu ?? 1500;
      await waitFor('the path MTU', () => peers()[0]?.pathMtu === pathMtu, PACE);
      const seen = monitor.stdout.length;
      assert.ok(reaches());
      await waitFor('the monitor', () => monitor.stdout.length > seen, PACE);
      assert.ok(sent() > before, 'totals go on');
      ip(node.namespace, 'addr del 10.244.1.0/32 dev flannel0\n');
      await waitFor('the upkeep', () => addresses().includes('10.244.1.0/32'), PACE);
      await waitFor('the route', reaches, PACE);
      const pinged = ask(node, 'ping', peer.address, '-c', '1', '-s', '64');
      assert.equal(pinged.status, 0, pinged.stdout + pinged.stderr);
      const doctor = ask(node, 'doctor', '--only', 'routes,peers,weft,firewall');
      assert.equal(doctor.status, 0, doctor.stdout + doctor.stderr);
    });
  }
});
