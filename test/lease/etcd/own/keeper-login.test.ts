import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { EtcdLine } from '../../../../src/lease/etcd/client.ts';
import { checkEtcdOptions } from '../../../../src/lease/etcd/options.ts';
import { createEtcdRegistry } from '../../../../src/lease/etcd/registry.ts';
import type { LeaseKeeper } from '../../../../src/lease/registry.ts';
import { type Etcd, startEtcd } from '../../../support/etcd.ts';
import { makeFolder } from '../../../support/maker.ts';
import { waitFor } from '../../../support/waitfor.ts';
import { LogBook } from '../../mirror.ts';
import { attributesOf, NETWORK } from './tenant.ts';

const PASSWORD = 'Battery-Staple-9';

describe("a node's own lease in an etcd with users", () => {
  let folder: string;
  let etcd: Etcd;
  const keepers: LeaseKeeper[] = [];
  afterEach(async () => {
    for (const keeper of keepers.splice(0)) await keeper.stop();
  });

  before(async () => {
    folder = makeFolder('login');
    const [key, open] = [join(folder, 'token.key'), join(folder, 'token.pub')];
    const quiet = { stdio: 'ignore' } as const;
    execFileSync('openssl', ['genrsa', '-out', key, '2048'], quiet);
    execFileSync('openssl', ['rsa', '-in', key, '-pubout', '-out', open], quiet);
    // A login lasts for two seconds: shorter than the time between two renewals.
    const token = `jwt,pub-key=${open},priv-key=${key},sign-method=RS256,ttl=2s`;
    etcd = await startEtcd({ args: ['--bcrypt-cost', '4', '--auth-token', token] });
    for (const user of ['root:root', `node:${PASSWORD}`, `reader:${PASSWORD}`]) {
      await etcd.etcdctl(['user', 'add', user]);
    }
    for (const [role, right] of Object.entries({ node: 'readwrite', reader: 'read' })) {
      await etcd.etcdctl(['role', 'add', role]);
      await etcd.etcdctl(['role', 'grant-permission', '--prefix', role, right, '/net/']);
      await etcd.etcdctl(['user', 'grant-role', role, role]);
    }
    await etcd.etcdctl(['user', 'grant-role', 'root', 'root']);
    await etcd.etcdctl(['auth', 'enable']);
  });
  after(async () => {
    await etcd.stop();
    rmSync(folder, { recursive: true });
  });

  function keep(username: string): { keeper: LeaseKeeper; book: LogBook; events: string[] } {
    const book = new LogBook();
    const events: string[] = [];
    const registry = createEtcdRegistry({
      ...{ endpoints: etcd.endpoints, prefix: '/net', username, password: PASSWORD },
      ...{ timing: { backoffMost: 200 }, log: book.log },
    });
    const wish = {
      ...{ network: NETWORK, attributes: attributesOf('192.0.2.1'), previous: undefined },
      ...{ timeToLiveSeconds: 8, renewMarginMinutes: 5 / 60 },
    };
    const keeper = registry.keep(wish, {
      held: () => events.push('held'),
      lost: (reason) => events.push(reason),
      trouble: (reason) => events.push(reason),
    });
    keepers.push(keeper);
    return { keeper, book, events };
  }

  test('a login that runs out between renewals is renewed with them', async () => {
    const options = { endpoints: etcd.endpoints, prefix: '/net', username: 'node' };
    const settings = checkEtcdOptions({ ...options, password: PASSWORD });
    const idle = await EtcdLine.create(settings, settings.endpoints[0]!);
    await idle.login();
    const { keeper, book, events } = keep('node');
    await waitFor('two renewals', () => keeper.status().renewals >= 2);
    assert.equal(keeper.status().failures, 0, book.text);
    assert.deepEqual(events, ['held']);
    // A write long after the login, with no renewal before it.
    const due = () => keeper.status().secondsLeft! < 5.7;
    await waitFor('a login that has run out', due);
    keeper.republish(attributesOf('192.0.2.2'));
    await waitFor('the change', async () => {
      const values = await etcd.etcdctl(['get', '--prefix', '/net/'], { user: 'root:root' });
      return values.includes('192.0.2.2');
    });
    assert.equal(keeper.status().failures, 0, book.text);
    assert.equal(keeper.status().lost, 0);
    assert.ok(!book.text.includes(PASSWORD));

    // A line that does not log in again is told so at once, and only once.
    await assert.rejects(idle.get('/net/config'), /refuses the login: invalid auth token/);
    idle.close();
  });

  test('a user that may not write is told so, without its password', async () => {
    const { keeper, book, events } = keep('reader');
    await waitFor('three tries', () => keeper.status().failures >= 3);
    assert.equal(events.length, 1);
    assert.match(events[0]!, /^no lease can be acquired yet: .*grant it .* readwrite/);
    assert.equal(book.warnings().length, 1, book.text);
    assert.ok(!book.text.includes(PASSWORD));
  });
});
