import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EtcdLine } from '../../../src/lease/etcd/client.ts';
import { checkEtcdOptions } from '../../../src/lease/etcd/options.ts';
import * as writes from '../../../src/lease/etcd/writes.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { waitFor } from '../../support/waitfor.ts';
import { etcdLeases, timeToLive } from './own/tenant.ts';

describe('writes to etcd', () => {
  let etcd: Etcd;
  let line: EtcdLine;
  let keys = 0;

  before(async () => {
    etcd = await startEtcd();
    const settings = checkEtcdOptions({ endpoints: etcd.endpoints, prefix: '/p' });
    line = await EtcdLine.create(settings, settings.endpoints[0]!);
  });
  after(async () => {
    line.close();
    await etcd.stop();
  });

  const words = (value: string, lease = '0') => ({ value, lease });
  const nextKey = () => `/p/subnets/10.0.${keys++}.0-24`;

  test('a key is created once, and never beside one that begins like it', async () => {
    const key = nextKey();
    const revision = await writes.createKey(line, key, key, words('a'));
    assert.equal((await line.read(key)).found?.revision, revision);
    assert.equal(await writes.createKey(line, key, key, words('b')), null);
    assert.equal(await line.get(key), 'a');
    const long = nextKey();
    await etcd.put(`${long}&fd00::-64`, 'x');
    assert.equal(await writes.createKey(line, long, long, words('b')), null);
    assert.equal(await line.get(long), null);
  });

  test('a key is replaced and deleted only as it was seen', async () => {
    const key = nextKey();
    const first = (await writes.createKey(line, key, key, words('a')))!;
    const second = await writes.replaceKey(line, key, first, words('b'));
    assert.ok(second !== null && second > first);
    assert.equal(await writes.replaceKey(line, key, first, words('c')), null);
    assert.equal(await writes.deleteKey(line, key, first), false);
    assert.equal(await line.get(key), 'b');
    assert.equal(await writes.deleteKey(line, key, second), true);
    assert.equal(await line.get(key), null);
    assert.equal(await writes.replaceKey(line, key, second, words('d')), null);
    assert.equal(await line.get(key), null);
  });

  test('an etcd lease is extended to its full time, until it has ended', async () => {
    const { id, seconds } = await writes.grantLease(line, 100);
    assert.equal(seconds, 100);
    assert.equal(await writes.extendLease(line, id, 5000), 100);
    await writes.revokeLease(line, id);
    assert.equal(await writes.extendLease(line, id, 5000), 0);
    await assert.rejects(writes.revokeLease(line, id), /no longer has our lease/);
    await writes.revokeQuietly(line, id);
    const key = nextKey();
    const put = writes.createKey(line, key, key, words('a', id));
    await assert.rejects(put, { name: 'EtcdError', kind: 'no_lease' });
  });

  test('an etcd lease that was not used is used for the next try, or given up', async () => {
    const before = await etcdLeases(etcd);
    const made = async () => (await etcdLeases(etcd)).filter((id) => !before.includes(id));
    const grants = new writes.Grants(600);
    const first = await grants.take(line);
    assert.equal((await grants.take(line)).id, first.id);
    assert.deepEqual(await made(), [first.id]);
    assert.ok(Math.abs(first.ends - performance.now() - 600_000) < 30_000);
    assert.equal((await timeToLive(etcd, first.id)).granted, 600);
    await grants.giveUp(line);
    assert.deepEqual(await made(), []);
    const second = await grants.take(line);
    grants.used();
    await grants.giveUp(line);
    assert.deepEqual(await made(), [second.id]);
    // One that has lain about for a quarter of its time would make a short lease.
    const short = new writes.Grants(2);
    const old = await short.take(line);
    const isOld = () => performance.now() > old.ends - 1500;
    await waitFor('it to be old', isOld);
    assert.equal((await short.take(line, old.id)).id, old.id);
    const fresh = await waitFor('another', async () => {
      const { id } = await short.take(line);
      return id === old.id ? undefined : id;
    });
    await waitFor('the old one to go', async () => {
      const now = await made();
      return now.includes(fresh) && !now.includes(old.id);
    });
    await short.giveUp(line);
  });
});
