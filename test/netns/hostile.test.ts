/**
 * A real weft and a real etcd in which somebody writes whatever can be written, each of it twice:
 * the process lives and is ready, its good peer is reached throughout, what is bad is counted, and
 * memory stays bounded.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Cluster, PREFIX, pings, readiness, SUBNETS, waitForPing } from '../support/cluster.ts';
import { ask, leasesOf, Weft } from '../support/node.ts';
import { waitFor } from '../support/waitfor.ts';

const nest = (open: string, core: string, close: string, depth: number) =>
  open.repeat(depth) + core + close.repeat(depth);
const around = (data: string) => `{"PublicIP":"192.0.2.8","BackendData":${data}}`;

/** By the number that their subnet ends in. */
const VALUES: readonly string[] = [
  ...['', 'null', '[]', '{', '{"PublicIP":', '\u0000', '\u001b[31mEVIL', '\ud800'],
  around(nest('[', '', ']', 8_000)),
  around(nest('{"a":', '1', '}', 8_000)),
  nest('[', '', ']', 30_000),
  around(`[${'0,'.repeat(40_000)}0]`),
  around(`"${'x'.repeat(60_000)}"`),
  `{${'"PublicIP":"192.0.2.3",'.repeat(3_000)}"publicip":"192.0.2.4"}`,
  '{"PublicIP":"192.0.2.3","PublicIP":7}',
  '{"PublicIP":"192.0.2.3","__proto__":{"x":1},"constructor":null}',
  `{"PublicIP":"192.0.2.3","BackendType":"${'t'.repeat(3_000)}"}`,
];
const KEYS = ['junk', '\u001b[31mEVIL\u202e', 'k'.repeat(5_000), '10.244.9.1-24', '__proto__'];

/** Of which the lease is too long by far, and as long as may be. */
const HUGE_BYTES = 1_400_000;
const LARGEST = around(`"${'x'.repeat(4096 - around('""').length)}"`);
const MOST_GROWTH_KB = 30_000;

describe('a weft whose store somebody hostile writes to', () => {
  let cluster: Cluster;

  beforeEach(async () => {
    cluster = await Cluster.build();
    await cluster.reserveSubnets();
  });
  afterEach(() => cluster.remove());

  const reach = (one: Weft, other: Weft) =>
    waitForPing(one.space.pod.namespace, other.space.pod.address);

  /** It lives, and has been through the event loop since all that came before. */
  async function lives(weft: Weft): Promise<void> {
    assert.equal(weft.process.end, undefined, weft.process.describe());
    await waitFor('readiness', () => readiness(weft).status === 200);
  }

  async function putTwice(key: string, value: string): Promise<void> {
    for (let times = 0; times < 2; times++) {
      await cluster.etcd.put(key, value);
    }
  }

  const refusedOf = (weft: Weft) => weft.metrics().sum('weft_lease_refused');

  for (const type of ['udp', 'vxlan', 'host-gw']) {
    test(`lives with every hostile value twice under each key (${type})`, async () => {
      await cluster.configure({ Type: type });
      const [weft, other] = (await cluster.startAll()) as [Weft, Weft];
      await reach(weft, other);
      for (const [at, value] of VALUES.entries()) {
        await putTwice(`${SUBNETS}/10.244.${100 + at}.0-24`, value);
      }
      for (const key of KEYS) await putTwice(`${SUBNETS}/${key}`, VALUES[8]!);
      const least = VALUES.length - 3 + KEYS.length - 1;
      await waitFor('the refusals', () => refusedOf(weft) >= least);
      for (const each of [weft, other]) await lives(each);
      assert.ok(pings(weft.space.pod.namespace, other.space.pod.address));
      assert.equal(ask(weft.space, 'status').status, 0);
      assert.equal(ask(weft.space, 'peers').status, 0);
      for (const [at] of VALUES.entries()) {
        await cluster.etcd.delete(`${SUBNETS}/10.244.${100 + at}.0-24`);
      }
      await waitFor('their end', () => refusedOf(weft) <= KEYS.length);
      assert.ok(pings(weft.space.pod.namespace, other.space.pod.address));
    });
  }

  test('lives with every hostile network config at SIGHUP, twice', async () => {
    await cluster.configure({ Type: 'udp' });
    const [weft, other] = (await cluster.startAll()) as [Weft, Weft];
    await reach(weft, other);
    const deep = `{"Network":"10.244.0.0/16","Backend":{"Type":"udp","x":${VALUES[10]}}}`;
    const count = () =>
      weft.process.stdout.match(/the network config in force stays/g)?.length ?? 0;
    for (const config of [deep, ...VALUES.slice(1)]) {
      await cluster.etcd.put(`${PREFIX}/config`, config);
      for (let times = 0; times < 2; times++) {
        const before = count();
        weft.process.child.kill('SIGHUP');
        await waitFor('the refusal', () => count() > before || weft.process.end !== undefined);
      }
    }
    await lives(weft);
    assert.ok(pings(weft.space.pod.namespace, other.space.pod.address));
  });

  test('lives with every hostile lease file', async () => {
    const [node, other] = cluster.nodes;
    const path = join(cluster.topology.directory, 'hostile.json');
    const good = JSON.stringify(leasesOf(cluster.nodes));
    writeFileSync(path, good);
    const weft = await Weft.start(node!, ['dataplane', '--leases', path, '--workers', '1']);
    cluster.wefts.push(weft);
    const failures = () => weft.metrics().sum('weft_lease_source_failures_total');
    for (const value of VALUES) {
      const before = failures();
      writeFileSync(path, value);
      await waitFor('the refusal', () => failures() > before || weft.process.end !== undefined);
      await lives(weft);
      // As one entry beside good ones it spoils nothing, unless the file is no JSON by it.
      writeFileSync(path, `${good.slice(0, -1)},"10.244.200.0-24":${value || 1}}`);
      await lives(weft);
    }
    writeFileSync(path, good);
    await waitFor('both leases', () => weft.metrics().sum('weft_leases', { state: 'peer' }) === 1);
    assert.equal(weft.process.end, undefined);
    assert.ok(other !== undefined);
  });

  const residentKb = (weft: Weft) =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${weft.process.pid}/status`, 'utf8'))![1]);

  test('keeps its memory with 1,000 of the longest values, and with 41 too long ones', async () => {
    await cluster.configure({ Type: 'udp' });
    const [weft, other] = (await cluster.startAll()) as [Weft, Weft];
    await reach(weft, other);
    const peers = () => weft.metrics().sum('weft_leases', { state: 'peer' });
    const seen = peers();
    const before = residentKb(weft);
    const entries = Array.from({ length: 1_000 }, (_, at) => {
      return [`${SUBNETS}/10.244.${10 + (at >> 3)}.${(at & 7) * 32}-27`, LARGEST] as const;
    });
    for (let first = 0; first < entries.length; first += 100) {
      const puts = entries.slice(first, first + 100).map(([key, value]) => {
        return `put ${key} ${JSON.stringify(value)}`;
      });
      await cluster.etcd.etcdctl(['txn'], { input: `\n${puts.join('\n')}\n\n\n` });
    }
    await waitFor('the peers', () => peers() >= seen + 900);
    const grown = residentKb(weft) - before;
    assert.ok(grown < MOST_GROWTH_KB, `grown by ${grown} kB`);
    const again = residentKb(weft);
    const huge = around(`"${'x'.repeat(HUGE_BYTES)}"`);
    for (let at = 0; at < 41; at++) await putTwice(`${SUBNETS}/10.244.${200 + at}.0-24`, huge);
    await waitFor('the refusals', () => refusedOf(weft) >= 41);
    await lives(weft);
    const more = residentKb(weft) - again;
    assert.ok(more < MOST_GROWTH_KB, `grown by ${more} kB`);
  });
});
