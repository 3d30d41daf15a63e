import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createEtcdRegistry } from '../../../../src/lease/etcd/registry.ts';
import { parseAddress4 } from '../../../../src/wire/address.ts';
import { type CutLine, openCutLine } from '../../../support/cut-line.ts';
import { type Etcd, startEtcd } from '../../../support/etcd.ts';
import { createRandom, runSeed } from '../../../support/random.ts';
import { waitFor, waitOut } from '../../../support/waitfor.ts';
import { LogBook } from '../../mirror.ts';
import * as tenancy from './tenant.ts';
import { attributesOf, BEAR, KEEN, Tenant, type TenantOptions } from './tenant.ts';

const MINE = '{"PublicIP":"192.0.2.1","PublicIPv6":null}';
const OTHERS = '{"PublicIP":"192.0.2.9","PublicIPv6":null}';
const SHORT = { timeToLiveSeconds: 2, renewMarginMinutes: 1 / 60 };

describe("a node's own lease while the line to etcd is in trouble", () => {
  let etcd: Etcd;
  let line: CutLine;
  let prefix: string;
  let prefixes = 0;
  const tenants: Tenant[] = [];

  before(async () => {
    etcd = await startEtcd({ args: BEAR });
  });
  after(() => etcd.stop());
  beforeEach(async () => {
    prefix = `/line/${prefixes++}`;
    line = await openCutLine(etcd.members[0]!.port);
  });
  afterEach(async () => {
    for (const tenant of tenants.splice(0)) await tenant.stop();
    await line.close();
  });

  function move(options: Partial<TenantOptions> = {}): Tenant {
    const tenant = new Tenant({ endpoints: [line.address], prefix, ...options });
    tenants.push(tenant);
    return tenant;
  }
  const keyOf = (subnet: string) => `${prefix}/subnets/${subnet.replace('/', '-')}`;
  const put = (subnet: string, value: string) => etcd.put(keyOf(subnet), value);
  const leases = () => tenancy.leasesIn(etcd, prefix);
  const lease = async (subnet: string) => (await leases()).get(subnet.replace('/', '-'));
  const isGone = (subnet: string) =>
    waitFor(`no lease of ${subnet}`, async () => (await lease(subnet)) === undefined);
  const failures = (tenant: Tenant, count: number) => {
    const { failures: before } = tenant.keeper.status();
    return waitFor(`${count} more failures`, () => {
      return tenant.keeper.status().failures >= before + count;
    });
  };

  test('etcd not there at the start is waited for, with one log line', async () => {
    line.set('cut');
    const tenant = move();
    await failures(tenant, 4);
    assert.equal(tenant.events.length, 1);
    assert.match(tenant.events[0]!, /^trouble no lease can be acquired yet: .*cannot be reached/);
    assert.equal(tenant.book.warnings().length, 1, tenant.book.text);
    line.set('pass');
    const subnet = await tenant.holds();
    assert.deepEqual(tenant.events.slice(1), ['well', `held ${subnet}`]);
  });

  test('a lease outlives the loss of the line, and nobody is told', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    const first = await lease(subnet);
    for (const mode of ['cut', 'blackhole'] as const) {
      line.set(mode);
      await failures(tenant, 2);
      const { renewals } = tenant.keeper.status();
      line.set('pass');
      await waitFor('a renewal', () => tenant.keeper.status().renewals > renewals);
    }
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
    assert.deepEqual(await lease(subnet), first);
    assert.match(tenant.book.warnings()[0]!, /lease of 10\.5\..* is good for 14\d\d min/);
  });

  test('a lease that ran out while etcd was away is said, then taken again', async () => {
    const tenant = move(SHORT);
    const subnet = await tenant.holds();
    line.set('blackhole');
    await isGone(subnet);
    await waitFor('trouble', () => tenant.times('trouble') === 1);
    assert.match(tenant.keeper.status().trouble, /has run out: another node may take it/);
    assert.ok(tenant.keeper.status().secondsLeft! < 0);
    line.set('pass');
    await waitFor('the end of it', () => tenant.keeper.status().trouble === '');
    assert.equal((await lease(subnet))?.value, MINE);
    assert.deepEqual(tenant.events.slice(2), ['well']);
    const { renewals } = tenant.keeper.status();
    await waitFor('renewals', () => tenant.keeper.status().renewals > renewals + 1);
  });

  test('a lease that ran out and went to another node is left to it', async () => {
    const tenant = move(SHORT);
    const subnet = await tenant.holds();
    line.set('blackhole');
    await isGone(subnet);
    await put(subnet, OTHERS);
    await waitFor('trouble', () => tenant.times('trouble') === 1);
    line.set('pass');
    await waitFor('another subnet', () => tenant.times('held') === 2);
    assert.equal((await lease(subnet))?.value, OTHERS);
    assert.notEqual(tenant.subnet(), subnet);
    assert.match(tenant.events.find((event) => event.startsWith('lost'))!, /192\.0\.2\.9/);
    assert.equal(tenant.keeper.status().trouble, '');
  });

  test('what happened to the key while the line was down is found', async () => {
    for (const value of [null, OTHERS]) {
      const tenant = move({ publicAddress: '192.0.2.1' });
      const subnet = await tenant.holds();
      line.set('cut');
      await failures(tenant, 1);
      if (value === null) await etcd.delete(keyOf(subnet));
      else await put(subnet, value);
      line.set('pass');
      await waitFor('a lease again', () => tenant.times('held') === 2);
      assert.equal(tenant.times('lost'), 1);
      assert.equal(tenant.subnet() === subnet, value === null);
      await tenant.stop();
    }
  });

  test('history compacted since the key was written does not matter', async () => {
    await put('10.5.30.0/24', MINE);
    const churn = async () => {
      for (let i = 0; i < 3; i++) await put('10.5.99.0/24', OTHERS);
      await etcd.compact(await etcd.revision());
    };
    await churn();
    const reserved = move();
    const leased = move({ publicAddress: '192.0.2.2' });
    const subnets = [await reserved.holds(), await leased.holds()];
    assert.equal(subnets[0], '10.5.30.0/24');
    line.set('cut');
    await failures(leased, 1);
    await churn();
    line.set('pass');
    const well = () => leased.keeper.status().renewals > 0;
    await waitFor('a renewal', well);
    // A watch that cannot begin shows as failure after failure.
    const counts = [reserved, leased].map(({ keeper }) => keeper.status().failures);
    for (const [index, tenant] of [reserved, leased].entries()) {
      const address = `192.0.2.${50 + index}`;
      tenant.keeper.republish(attributesOf(address));
      await waitFor('the new address', async () => {
        return (await lease(subnets[index]!))?.value.includes(address);
      });
    }
    const now = [reserved, leased].map(({ keeper }) => keeper.status().failures);
    assert.ok(
      now.every((count, index) => count - counts[index]! <= 1),
      `${counts} ${now}`,
    );
    assert.equal(reserved.times('lost') + leased.times('lost'), 0);
    const text = reserved.book.text + leased.book.text;
    assert.ok(!text.includes('compacted'), text);
  });

  test('what changed while the line was down is published when it is back', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    line.set('cut');
    await failures(tenant, 1);
    tenant.keeper.republish(attributesOf('192.0.2.40'));
    tenant.keeper.republish(attributesOf('192.0.2.41'));
    line.set('pass');
    await waitFor('the change', async () => (await lease(subnet))?.value.includes('192.0.2.41'));
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
  });

  test('a line cut at any moment of the claim leaves one lease, and it is held', async () => {
    const random = createRandom(runSeed());
    for (let round = 0; round < 25; round++) {
      const publicAddress = `192.0.3.${round}`;
      const tenant = move({ publicAddress });
      const opened = line.opened();
      await waitFor('the line', () => line.opened() > opened, { every: 1 });
      await waitOut(random.below(25));
      line.set('cut');
      line.set('pass');
      const subnet = await tenant.holds();
      const own = [...(await leases())].filter(([, { value }]) => value.includes(publicAddress));
      assert.deepEqual(
        own.map(([key]) => key),
        [subnet.replace('/', '-')],
      );
      assert.equal(tenant.times('lost'), 0);
      await tenant.stop();
    }
  });

  test('stop is prompt in a black hole, before and after a claim', async () => {
    for (const isEarly of [true, false]) {
      if (isEarly) line.set('blackhole');
      const call = 600_000;
      const tenant = move({ timing: { ...KEEN, call, keepalive: call } });
      const opened = line.opened();
      if (isEarly) await waitFor('the line', () => line.opened() > opened);
      else await tenant.holds();
      line.set('blackhole');
      const begun = performance.now();
      await tenant.stop();
      assert.ok(performance.now() - begun < call / 2, 'it did not wait for the call');
      line.set('pass');
    }
  });

  test('stopped at any moment it leaves no etcd lease without a key', async () => {
    const random = createRandom(runSeed());
    const before = await tenancy.etcdLeases(etcd);
    // Slow enough for every moment between two calls to be met.
    line.set('delay', 15);
    for (let round = 0; round < 25; round++) {
      const tenant = move({ publicAddress: `192.0.3.${round}`, timing: {} });
      await waitOut(random.below(250));
      await tenant.stop();
    }
    const used = [...(await leases()).values()].map((shown) => shown.lease);
    const made = (await tenancy.etcdLeases(etcd)).filter((id) => !before.includes(id));
    assert.deepEqual(made.sort(), used.sort());
    assert.ok(used.length > 0);
  });

  test('a search for the own lease waits for etcd, and can be given up', async () => {
    const book = new LogBook();
    const options = { endpoints: [line.address], prefix, timing: KEEN, log: book.log };
    const registry = createEtcdRegistry(options);
    await put('10.5.40.0/24', MINE);
    line.set('cut');
    const given = new AbortController();
    const reason = new Error('given up');
    const search = registry.findOwn(1, given.signal);
    await waitFor('a warning', () => book.warnings().length === 1);
    given.abort(reason);
    await assert.rejects(search, reason);
    const second = registry.findOwn(parseAddress4('192.0.2.1')!, new AbortController().signal);
    const opened = line.opened();
    await waitFor('three tries', () => line.opened() >= opened + 3);
    line.set('pass');
    assert.equal((await second)?.key, '10.5.40.0-24');
    assert.equal(book.warnings().length, 2, book.text);
  });
});

test('three members: a lease outlives the leader, and the loss of the majority', async () => {
  const quick = ['--heartbeat-interval', '50', '--election-timeout', '500'];
  const etcd = await startEtcd({ members: 3, args: [...BEAR, ...quick] });
  const { endpoints, members } = etcd;
  const common = { endpoints, prefix: '/p' };
  const tenant = new Tenant({ ...common, timeToLiveSeconds: 6, renewMarginMinutes: 5 / 60 });
  try {
    const subnet = await tenant.holds();
    const status = await etcd.etcdctl(['endpoint', 'status', '-w', 'json']);
    const leader = JSON.parse(status).findIndex(
      ({ Status: { header, leader } }: { Status: { header: object; leader: number } }) =>
        'member_id' in header && header.member_id === leader,
    );
    await members[leader]!.kill();
    const renewed = async (times: number) => {
      const { renewals } = tenant.keeper.status();
      await waitFor('renewals', () => tenant.keeper.status().renewals >= renewals + times);
    };
    await renewed(2);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
    const second = members[(leader + 1) % 3]!;
    await second.kill();
    await waitFor('trouble', () => tenant.times('trouble') === 1);
    assert.match(tenant.keeper.status().trouble, /has run out/);
    await second.restart();
    await waitFor('the end of it', () => tenant.keeper.status().trouble === '');
    await renewed(2);
    // Members that were away give every lease its full time again: nothing was lost.
    assert.equal(tenant.subnet(), subnet);
    assert.equal(tenant.times('lost'), 0);
  } finally {
    await tenant.stop();
    await etcd.stop();
  }
});
