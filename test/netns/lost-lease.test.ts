/** A separate `weft dataplane` sees by the leases that its subnet is not its node's any more. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import test, { afterEach, beforeEach, describe } from 'node:test';
import {
  Cluster,
  pings,
  readiness,
  SUBNETS,
  waitForPing,
  waitUntilNotReady,
} from '../support/cluster.ts';
import { readSubnetFile } from '../support/cni.ts';
import { goodDatagram, sendFrom } from '../support/datagrams.ts';
import { ask, leasesOf, Weft, writeLeases } from '../support/node.ts';
import { ip, type NodeSpace } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const STRANGER = '{"PublicIP":"192.0.2.77","PublicIPv6":null}';
const EXIT_DATAPLANE = 4;
const COPIES = 5;

describe('a weft dataplane whose lease is lost', () => {
  let cluster: Cluster;
  let node: NodeSpace;
  let other: NodeSpace;

  beforeEach(async () => {
    cluster = await Cluster.build();
    [node, other] = cluster.nodes as [NodeSpace, NodeSpace];
    await cluster.configure();
    await cluster.reserveSubnets();
  });
  afterEach(() => cluster.remove());

  const dataplane = (space: NodeSpace, ...more: string[]) =>
    cluster.start(space, ['dataplane', ...more]);
  const keyOf = (space: NodeSpace) => `${SUBNETS}/${space.subnetKey}`;
  const leaseOf = (space: NodeSpace) => JSON.stringify({ PublicIP: space.address });
  const reaches = () => pings(node.pod.namespace, other.pod.address);

  async function readyAgain(weft: Weft): Promise<void> {
    await waitFor('readiness', () => readiness(weft).status === 200);
    await waitForPing(node.pod.namespace, other.pod.address);
  }

  /** Nothing passes in either direction, and all of it is counted by the one reason. */
  async function carriesNothing(weft: Weft): Promise<void> {
    const before = weft.metrics();
    assert.equal(reaches(), false);
    await sendFrom(other.namespace, node.address, Array(COPIES).fill(goodDatagram()));
    const drops = () => weft.metrics().newDrops(before, 'rx');
    await waitFor('the drops', () => (drops().lease_lost ?? 0) >= COPIES);
    assert.deepEqual(drops(), { lease_lost: COPIES });
    assert.deepEqual(weft.metrics().newDrops(before, 'tx'), { lease_lost: 1 });
    assert.equal(weft.metrics().sum('weft_packets_total'), before.sum('weft_packets_total'));
    assert.equal(weft.process.end, undefined);
    assert.match(ask(node, 'status').stdout, /LOST: the lease of 10\.244\.1\.0\/24 is lost/);
    assert.match(ask(node, 'trace', other.pod.address).stdout, /is lost: .*: nothing is carried/);
  }

  for (const accept of ['strict', 'any']) {
    test(`to another node carries nothing till it is ours again (--accept ${accept})`, async () => {
      const weft = await dataplane(node, '--accept', accept);
      await dataplane(other);
      await waitForPing(node.pod.namespace, other.pod.address);
      await cluster.etcd.put(keyOf(node), STRANGER);
      await waitUntilNotReady(weft, /of 10\.244\.1\.0\/24 is lost: .*names 192\.0\.2\.77/);
      await carriesNothing(weft);
      await cluster.etcd.put(keyOf(node), leaseOf(node));
      await readyAgain(weft);
      // The log is a pipe away, and may come after what the metrics address says.
      await weft.process.waitForOutput(/is this node's again: packets are carried again/);
      const { stdout } = weft.process;
      const told = stdout.split('\n').filter((line) => /"level":"?(error|50)/.test(line));
      assert.equal(told.length, 1, stdout);
      assert.match(told[0]!, /is lost: .*--public-ip 192\.0\.2\.77/);
    });
  }

  test('by deletion carries nothing until it is there again', async () => {
    const weft = await dataplane(node);
    await dataplane(other);
    await waitForPing(node.pod.namespace, other.pod.address);
    await cluster.etcd.delete(keyOf(node));
    await waitUntilNotReady(weft, /is lost: it is gone from etcd/);
    await carriesNothing(weft);
    await cluster.etcd.put(keyOf(node), leaseOf(node));
    await readyAgain(weft);
  });

  test('before it started carries nothing from the start', async () => {
    await cluster.etcd.put(keyOf(node), STRANGER);
    const weft = cluster.launch(node, ['dataplane']);
    await dataplane(other);
    await waitUntilNotReady(weft, /is lost/);
    await waitFor('the list', () => weft.metrics().sum('weft_leases', { state: 'peer' }) === 1);
    await carriesNothing(weft);
    await cluster.etcd.put(keyOf(node), leaseOf(node));
    await readyAgain(weft);
  });

  test('to an address of its own host goes on', async () => {
    const weft = await dataplane(node);
    await dataplane(other);
    await waitForPing(node.pod.namespace, other.pod.address);
    ip(node.namespace, 'addr add 192.0.2.77/24 dev eth0\n');
    await cluster.etcd.put(keyOf(node), STRANGER);
    const refused = () => weft.metrics().sum('weft_lease_refused');
    await waitFor('word of it', () => refused() === 1);
    // The other node sends to the new address by now, where nobody listens: nothing comes back.
    const sent = () => weft.metrics().sum('weft_packets_total', { direction: 'tx' });
    // Nothing passes while the host is asked for its addresses.
    await waitFor('packets to leave', () => {
      const before = sent();
      reaches();
      return sent() === before + 1;
    });
    assert.equal(readiness(weft).status, 200);
    assert.doesNotMatch(weft.process.stdout, /is lost/);
  });

  test('beside weft agent ends with 4 once there is another subnet', async () => {
    const beside = ['--metrics-listen', '127.0.0.1:8287', '--api-socket', 'none'];
    await cluster.start(node, ['agent']);
    // Without --network and --subnet it follows the agent's file, as an operator would have it.
    const weft = cluster.launch(node, ['dataplane', ...beside, '--subnet-file', node.subnetFile]);
    await weft.process.waitForOutput(/ready: 0 peers|ready: 1 peer/);
    await cluster.etcd.put(keyOf(node), STRANGER);
    const { code } = await weft.process.wait();
    assert.equal(code, EXIT_DATAPLANE, weft.process.describe());
    assert.match(weft.process.stdout, /is lost/);
    assert.match(weft.process.stderr, /now says 10\.244\.\d+\.0\/24/);
    assert.notEqual(readSubnetFile(node.subnetFile).FLANNEL_SUBNET, '10.244.1.1/24');
  });

  test('in a lease file is told the same way; a file without it changes nothing', async () => {
    const leases = writeLeases(cluster.topology);
    const rows = leasesOf(cluster.nodes);
    const weft = await Weft.start(node, ['--leases', leases, '--workers', '1']);
    cluster.wefts.push(weft);
    await dataplane(other);
    await waitForPing(node.pod.namespace, other.pod.address);
    const stolen = { ...rows, [node.subnetKey]: { PublicIP: '192.0.2.77' } };
    writeFileSync(leases, JSON.stringify(stolen));
    await waitUntilNotReady(weft, /is lost: in file .* names 192\.0\.2\.77/);
    await carriesNothing(weft);
    writeFileSync(leases, JSON.stringify({ [other.subnetKey]: rows[other.subnetKey] }));
    await readyAgain(weft);
  });
});
