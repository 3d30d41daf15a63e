/**
 * Leases come, move and go in etcd while traffic flows. The far nodes are echoes that sign, so each
 * packet of the pod tells which node it reached, and both directions are seen at once.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { Weft } from '../support/node.ts';
import type { Background } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { type Fate, nowMs, startEcho, UdpProbe } from '../support/udp-probe.ts';
import { waitFor } from '../support/waitfor.ts';

const PREFIX = '/coreos.com/network';
/** From etcd's word that a change is stored to the last packet that does not follow it. */
const FOLLOWS_WITHIN_MS = 100;
/** Packets before and after each change. */
const SETTLE_MS = 300;

describe('leases that change under traffic', () => {
  let topology: Topology;
  let etcd: Etcd;
  let weft: Weft;
  const echoes: Background[] = [];

  before(async () => {
    topology = buildTopology({ nodes: 3 });
    const [first, second, third] = topology.nodes;
    const argvPrefix = inside(topology.underlay, []);
    etcd = await startEtcd({ host: topology.underlayAddress, argvPrefix });
    await etcd.put(`${PREFIX}/config`, JSON.stringify({ Network: '10.244.0.0/16' }));
    await lease('10.244.1.0-24', first!.address);
    await lease('10.244.3.0-24', third!.address);
    echoes.push(await startEcho(second!.namespace, second!.address, 2));
    echoes.push(await startEcho(third!.namespace, third!.address, 3));
    weft = await Weft.start(first!, ['--etcd-endpoints', etcd.endpoints.join(',')]);
  });

  after(async () => {
    await weft?.stop();
    for (const echo of echoes) await echo.stop();
    await etcd?.stop();
    topology?.remove();
  });

  function lease(key: string, address: string): Promise<void> {
    const value = { PublicIP: address, PublicIPv6: null };
    return etcd.put(`${PREFIX}/subnets/${key}`, JSON.stringify(value));
  }

  /** Makes a change amid steady traffic to the changed subnet and to one that stays. */
  async function amidTraffic(change: () => Promise<void>) {
    const targets = ['10.244.2.2', '10.244.3.2'];
    const probe = await UdpProbe.start(topology.nodes[0]!.pod.namespace, targets);
    await pass(SETTLE_MS);
    await change();
    const changedMs = nowMs();
    await pass(SETTLE_MS);
    const [changed, steady] = await probe.stop();
    return { changed: changed!, steady: steady!, changedMs };
  }

  async function pass(milliseconds: number): Promise<void> {
    const end = nowMs() + milliseconds;
    await waitFor('time to pass', () => nowMs() > end, { every: 20 });
  }

  function assertFollows(fates: readonly Fate[], from: number, to: number, changedMs: number) {
    assert.equal(fates[0]!.answeredBy, from);
    assert.equal(fates.at(-1)!.answeredBy, to);
    const last = fates.findLast(({ answeredBy }) => answeredBy !== to)!;
    const late = last.sentMs - changedMs;
    assert.ok(late < FOLLOWS_WITHIN_MS, `followed after ${late.toFixed(1)} ms`);
  }

  function assertSteady(fates: readonly Fate[]): void {
    assert.ok(fates.length > SETTLE_MS / 2, `only ${fates.length} packets were sent`);
    const lost = fates.filter(({ answeredBy }) => answeredBy !== 3).length;
    assert.equal(lost, 0, `${lost} of ${fates.length} packets to the steady node were lost`);
  }

  const changes: readonly (readonly [string, number, number, () => Promise<void>])[] = [
    ['a lease is added', 0, 2, () => lease('10.244.2.0-24', '192.0.2.2')],
    ['it moves to another address', 2, 3, () => lease('10.244.2.0-24', '192.0.2.3')],
    ['it moves back', 3, 2, () => lease('10.244.2.0-24', '192.0.2.2')],
    ['it is renewed, nothing changes', 2, 2, () => lease('10.244.2.0-24', '192.0.2.2')],
    ['it is removed', 2, 0, () => etcd.delete(`${PREFIX}/subnets/10.244.2.0-24`)],
  ];

  for (const [name, from, to, change] of changes) {
    test(`${name}: traffic follows, nothing else is lost`, async () => {
      const { changed, steady, changedMs } = await amidTraffic(change);
      if (from === to) assert.ok(changed.every(({ answeredBy }) => answeredBy === to));
      else assertFollows(changed, from, to, changedMs);
      assertSteady(steady);
    });
  }

  test('fifty leases come and go, and the steady one does not notice', async () => {
    const { steady } = await amidTraffic(async () => {
      for (const round of [1, 2]) {
        const keys = Array.from({ length: 25 }, (_, i) => `10.244.${100 + i}.0-24`);
        await Promise.all(keys.map((key, i) => lease(key, `192.0.2.${100 + i + round}`)));
        await Promise.all(keys.map((key) => etcd.delete(`${PREFIX}/subnets/${key}`)));
      }
    });
    assertSteady(steady);
  });
});
