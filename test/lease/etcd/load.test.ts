import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { reachableByUdp } from '../../../src/lease/admission.ts';
import { createEtcdSource } from '../../../src/lease/etcd/source.ts';
import type {
  LeaseChange,
  LeaseEntry,
  LeaseSink,
  StopWatching,
} from '../../../src/lease/source.ts';
import { LeaseWatcher } from '../../../src/lease/watcher.ts';
import { formatAddress4, parsePrefix4 } from '../../../src/wire/address.ts';
import { type CutLine, openCutLine } from '../../support/cut-line.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { waitFor } from '../../support/waitfor.ts';
import { LogBook } from '../mirror.ts';

/** All the /24 that 10.0.0.0/8 has, nearly. */
const MANY = 65_000;
const RULES = { network: parsePrefix4('10.0.0.0/8')!, own: null, reachable: reachableByUdp };
const FIRST_SUBNET = 0x0a000000;
const FIRST_PEER = 0xac100001;

const keyOf = (index: number) => `${formatAddress4(FIRST_SUBNET + index * 256)}-24`;
const wordsOf = (address: number) => `{"PublicIP":"${formatAddress4(address)}","PublicIPv6":null}`;

/** A sink that judges leases as an agent does, and keeps nothing else. */
class Judge implements LeaseSink {
  readonly watcher = new LeaseWatcher(RULES);
  snapshots = 0;
  batches = 0;

  snapshot(entries: readonly LeaseEntry[]): void {
    this.snapshots += 1;
    this.watcher.snapshot(entries);
  }

  changes(changes: readonly LeaseChange[]): void {
    this.batches += 1;
    this.watcher.changes(changes);
  }

  peers(): number {
    return this.watcher.counts().peers;
  }
}

describe('a network as large as it may be', () => {
  let etcd: Etcd;
  let line: CutLine;
  let stop: StopWatching;
  const judge = new Judge();
  const book = new LogBook();

  before(async () => {
    etcd = await startEtcd();
    line = await openCutLine(etcd.members[0]!.port);
    const leases = new Map<string, string>();
    for (let i = 0; i < MANY; i++) leases.set(`/net/subnets/${keyOf(i)}`, wordsOf(FIRST_PEER + i));
    await etcd.putMany(leases);
  });
  after(async () => {
    await stop();
    await line.close();
    await etcd.stop();
  });

  test(`${MANY} leases are loaded by one list, and kept in little memory`, async (t) => {
    const options = { endpoints: [line.address], prefix: '/net', timing: { backoffMost: 200 } };
    const source = createEtcdSource({ ...options, log: book.log });
    const before = process.memoryUsage();
    const begun = performance.now();
    stop = source.watch(judge);
    await waitFor('the leases', () => judge.peers() === MANY, { every: 1 });
    const milliseconds = performance.now() - begun;
    const now = process.memoryUsage();
    const grown = (kind: 'heapUsed' | 'rss') => Math.round((now[kind] - before[kind]) / 2 ** 20);
    t.diagnostic(`loaded and judged in ${milliseconds.toFixed(0)} ms`);
    t.diagnostic(`heap +${grown('heapUsed')} MiB, resident +${grown('rss')} MiB`);
    assert.deepEqual([judge.snapshots, line.opened()], [1, 1]);
    assert.deepEqual(book.warnings(), []);
  });

  test('ten thousand changes, all at once, arrive whole', async (t) => {
    const moved = new Map<string, string>();
    const address = FIRST_PEER + 100_000;
    for (let i = 0; i < 10_000; i++) moved.set(`/net/subnets/${keyOf(i)}`, wordsOf(address + i));
    const isMoved = () => {
      const rows = judge.watcher.rows().filter(({ peer }) => peer >= address);
      return rows.length === 10_000;
    };
    const begun = performance.now();
    await etcd.putMany(moved);
    await waitFor('the changes', isMoved, { every: 20 });
    const seconds = (performance.now() - begun) / 1000;
    t.diagnostic(`${(10_000 / seconds).toFixed(0)} changes a second, written, watched and judged`);
    assert.equal(judge.snapshots, 1);
    assert.ok(judge.batches <= 10_000);
  });

  test('coming back after compaction costs one list more', async () => {
    const opened = line.opened();
    const cut = performance.now();
    line.set('cut');
    await etcd.delete(`/net/subnets/${keyOf(0)}`);
    await etcd.compact(await etcd.revision());
    line.set('pass');
    await waitFor('the loss', () => judge.peers() === MANY - 1);
    assert.equal(judge.snapshots, 2);
    // While the line is cut each try is a connection, and pauses are at least half of 200 ms.
    const tries = 3 + (performance.now() - cut) / 100;
    assert.ok(line.opened() - opened <= tries, `${line.opened() - opened} connections`);
  });
});
