/** Somebody who writes too much: too long a value, too many keys. Nothing good is lost by it. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createEtcdSource } from '../../../src/lease/etcd/source.ts';
import type { LeaseSource, StopWatching } from '../../../src/lease/source.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { waitFor } from '../../support/waitfor.ts';
import { LogBook, Mirror } from '../mirror.ts';

const VALUE = '{"PublicIP":"192.0.2.2","PublicIPv6":null}';
const FOLDER = '/bounds/subnets';

describe('an etcd in which somebody writes too much', () => {
  let etcd: Etcd;
  let mirror: Mirror;
  let book: LogBook;
  let source: LeaseSource;
  let stop: StopWatching;

  before(async () => {
    etcd = await startEtcd({ args: ['--max-request-bytes', '20000000'] });
  });
  after(() => etcd.stop());
  beforeEach(() => {
    [mirror, book] = [new Mirror(), new LogBook()];
  });
  afterEach(async () => {
    await stop();
    await etcd.etcdctl(['del', '--prefix', '/bounds/']);
  });

  function watch(mostLeases?: number): void {
    const options = { endpoints: etcd.endpoints, prefix: '/bounds', log: book.log };
    source = createEtcdSource({ ...options, mostLeases, timing: { backoffMost: 200 } });
    stop = source.watch(mirror);
  }

  async function fill(...keys: string[]): Promise<Map<string, string>> {
    for (const key of keys) await etcd.put(`${FOLDER}/${key}`, VALUE);
    return new Map(keys.map((key) => [key, VALUE]));
  }

  /** Past etcdctl, which would take it as an argument. */
  async function putLong(key: string, bytes: number): Promise<void> {
    const value = Buffer.alloc(bytes, 'x').toString('base64');
    const body = JSON.stringify({ key: Buffer.from(`${FOLDER}/${key}`).toString('base64'), value });
    assert.ok((await fetch(`${etcd.endpoints[0]}/v3/kv/put`, { method: 'POST', body })).ok);
  }

  const becomes = (state: string) =>
    waitFor(`the state ${state}`, () => source.status().state === state);

  test('a value longer than any message hides no other, in the list and after it', async () => {
    const good = await fill('10.1.0.0-24', '10.1.1.0-24', '10.1.9.0-24');
    await putLong('10.1.2.0-24', 9_000_000);
    watch();
    await waitFor('all keys', () => mirror.shows(new Map([...good, ['10.1.2.0-24', '']])));
    await becomes('synced');
    await putLong('10.1.2.0-24', 9_000_001);
    await fill('10.1.10.0-24');
    await waitFor('the next news', () => mirror.entries.get('10.1.10.0-24') === VALUE);
    await becomes('synced');
  });

  test('of more keys than may be, those that are known go on until there is room', async () => {
    const good = await fill('10.1.0.0-24', '10.1.1.0-24', '10.1.2.0-24');
    watch(4);
    await waitFor('the leases', () => mirror.shows(good));
    await becomes('synced');
    await fill('0', '1');
    await becomes('stale');
    assert.match(source.status().reason, /more than 4 keys under .*delete those that are no leas/);
    for (const [key, value] of good) assert.equal(mirror.entries.get(key), value);
    // A line that breaks now brings a list that is cut, and it takes nothing away either.
    const seen = mirror.batches;
    await etcd.members[0]!.kill();
    await etcd.members[0]!.restart();
    await waitFor('news again', () => mirror.batches > seen);
    assert.equal(mirror.snapshots, 1);
    for (const [key, value] of good) assert.equal(mirror.entries.get(key), value);
    await etcd.delete(`${FOLDER}/0`);
    await becomes('synced');
    await waitFor('all', () => mirror.shows(new Map([...good, ['1', VALUE]])));
    assert.ok(book.warnings().length <= 3, book.text);
  });
});
