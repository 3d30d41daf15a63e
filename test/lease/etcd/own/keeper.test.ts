import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createEtcdRegistry } from '../../../../src/lease/etcd/registry.ts';
import { parseAddress4 } from '../../../../src/wire/address.ts';
import { type Etcd, startEtcd } from '../../../support/etcd.ts';
import { waitFor } from '../../../support/waitfor.ts';
import { LogBook } from '../../mirror.ts';
import * as tenancy from './tenant.ts';
import { attributesOf, BEAR, KEEN, networkOf, Tenant, type TenantOptions } from './tenant.ts';

const MINE = '{"PublicIP":"192.0.2.1","PublicIPv6":null}';
const OTHERS = '{"PublicIP":"192.0.2.9","PublicIPv6":null}';
/** Four subnets, of which the first is left out. */
const SMALL = networkOf({ Network: '10.9.0.0/22', SubnetLen: 24 });
/** Renews two seconds before the end of three. */
const SHORT = { timeToLiveSeconds: 3, renewMarginMinutes: 2 / 60 };

describe('the lease of a node in etcd', () => {
  let etcd: Etcd;
  let prefix: string;
  let prefixes = 0;
  const tenants: Tenant[] = [];

  before(async () => {
    etcd = await startEtcd({ args: BEAR });
  });
  after(() => etcd.stop());
  beforeEach(() => {
    prefix = `/own/${prefixes++}`;
  });
  afterEach(async () => {
    for (const tenant of tenants.splice(0)) await tenant.stop();
  });

  function move(options: Partial<TenantOptions> = {}): Tenant {
    const tenant = new Tenant({ endpoints: etcd.endpoints, prefix, ...options });
    tenants.push(tenant);
    return tenant;
  }
  const keyOf = (subnet: string) => `${prefix}/subnets/${subnet.replace('/', '-')}`;
  const put = (subnet: string, value: string) => etcd.put(keyOf(subnet), value);
  const leases = () => tenancy.leasesIn(etcd, prefix);
  const lease = async (subnet: string) => (await leases()).get(subnet.replace('/', '-'));
  async function grant(seconds: number): Promise<string> {
    const text = await etcd.etcdctl(['lease', 'grant', String(seconds)]);
    return /lease ([0-9a-f]+) granted/.exec(text)![1]!;
  }
  async function putLeased(subnet: string, value: string, seconds = 600): Promise<void> {
    await etcd.etcdctl(['put', `--lease=${await grant(seconds)}`, '--', keyOf(subnet), value]);
  }

  test('key, value and time to live are those of flanneld, byte for byte', async () => {
    const cases = [
      [attributesOf('192.0.2.1'), '{"PublicIP":"192.0.2.1","PublicIPv6":null}'],
      [
        attributesOf('192.0.2.2', { backendType: 'host-gw' }),
        '{"PublicIP":"192.0.2.2","PublicIPv6":null,"BackendType":"host-gw"}',
      ],
      [
        attributesOf('192.0.2.3', {
          backendType: 'vxlan',
          backendData: '{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}',
        }),
        '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"vxlan",' +
          '"BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}',
      ],
    ] as const;
    for (const [attributes, value] of cases) {
      const tenant = move({ attributes });
      const subnet = await tenant.holds();
      assert.match(subnet, /^10\.5\.(?!0\.)\d+\.0\/24$/);
      const shown = await lease(subnet);
      assert.equal(shown?.value, value);
      const { granted, left } = await tenancy.timeToLive(etcd, shown.lease);
      assert.equal(granted, 86_400);
      assert.ok(left > 86_000);
      assert.deepEqual(tenant.events, [`held ${subnet}`]);
      const { secondsLeft, reservation } = tenant.keeper.status();
      assert.ok(Math.abs(secondsLeft! - left) < 30);
      assert.equal(reservation, false);
      assert.deepEqual(tenant.book.warnings(), []);
    }
  });

  test('the lease stays in etcd after the end, and no other etcd lease is left', async () => {
    const before = await tenancy.etcdLeases(etcd);
    const tenant = move();
    const subnet = await tenant.holds();
    await tenant.stop();
    const shown = await lease(subnet);
    const now = await tenancy.etcdLeases(etcd);
    assert.deepEqual(
      now.filter((id) => !before.includes(id)),
      [shown?.lease],
    );
  });

  test('its own lease is used again, for another day', async () => {
    await putLeased('10.5.7.0/24', MINE);
    const old = (await lease('10.5.7.0/24'))!.lease;
    const tenant = move({ previous: '10.5.8.1/24' });
    assert.equal(await tenant.holds(), '10.5.7.0/24');
    const shown = await lease('10.5.7.0/24');
    assert.notEqual(shown!.lease, old);
    assert.equal((await tenancy.timeToLive(etcd, shown!.lease)).granted, 86_400);
    assert.equal((await leases()).size, 1);
  });

  test('its own lease that fits no more is deleted', async () => {
    await putLeased('10.5.0.0/24', MINE);
    await putLeased('10.5.16.0/20', MINE);
    await putLeased('10.6.1.0/24', MINE);
    await putLeased('10.5.2.0/24&fd00:5:2::-64'.replace('/', '-'), MINE);
    const tenant = move();
    const subnet = await tenant.holds();
    assert.deepEqual([...(await leases()).keys()], [subnet.replace('/', '-')]);
    assert.equal(tenant.book.warnings().length, 4, tenant.book.text);
  });

  test('the previous subnet is taken where it is free and fits', async () => {
    assert.equal(await move({ previous: '10.5.200.1/24' }).holds(), '10.5.200.0/24');
    for (const [index, previous] of ['10.5.200.1/24', '10.5.0.1/24', '10.5.7.1/25'].entries()) {
      const subnet = await move({ publicAddress: `192.0.2.${50 + index}`, previous }).holds();
      assert.notEqual(subnet, previous.replace('.1/', '.0/'));
    }
  });

  test('subnets in leases of another length, and under bad values, are taken', async () => {
    await put('10.9.0.0/23', OTHERS);
    await put('10.9.2.0/24', 'no lease value at all');
    const tenant = move({ network: SMALL });
    assert.equal(await tenant.holds(), '10.9.3.0/24');
  });

  test('with IPv6 the key has both parts', async () => {
    const network = networkOf({
      Network: '10.5.0.0/16',
      EnableIPv6: true,
      IPv6Network: 'fd00:5::/48',
      IPv6SubnetMin: 'fd00:5:0:7::',
      IPv6SubnetMax: 'fd00:5:0:7::',
    });
    await move({ network, previous: '10.5.9.1/24' }).holds();
    assert.deepEqual([...(await leases()).keys()], ['10.5.9.0-24&fd00:5:0:7::-64']);
  });

  test('the other form of a key counts as the same subnet in a race', async () => {
    // Seen by the transaction alone: the list would tell a claim of it.
    const { createKey } = await import('../../../../src/lease/etcd/writes.ts');
    const { EtcdLine } = await import('../../../../src/lease/etcd/client.ts');
    const { checkEtcdOptions } = await import('../../../../src/lease/etcd/options.ts');
    await put('10.5.9.0-24&fd00:5:0:7::-64', OTHERS);
    const settings = checkEtcdOptions({ endpoints: etcd.endpoints, prefix });
    const line = await EtcdLine.create(settings, settings.endpoints[0]!);
    const content = { value: MINE, lease: '0' };
    const taken = keyOf('10.5.9.0/24');
    assert.equal(await createKey(line, taken, taken, content), null);
    const free = keyOf('10.5.9.0/25');
    assert.notEqual(await createKey(line, free, free, content), null);
    line.close();
  });

  test('the same etcd lease is renewed, without a write for peers to see', async () => {
    const tenant = move(SHORT);
    const subnet = await tenant.holds();
    const first = await lease(subnet);
    await waitFor('four renewals', () => tenant.keeper.status().renewals >= 4);
    assert.deepEqual(await lease(subnet), first);
    assert.equal((await tenancy.timeToLive(etcd, first!.lease)).granted, 3);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
    assert.equal(tenant.keeper.status().failures, 0, tenant.book.text);
  });

  test('renewal comes the margin before the end, not sooner', async () => {
    const tenant = move({ timeToLiveSeconds: 4, renewMarginMinutes: 2 / 60 });
    await tenant.holds();
    const left: number[] = [];
    await waitFor('three renewals', () => {
      left.push(tenant.keeper.status().secondsLeft!);
      return tenant.keeper.status().renewals >= 3;
    });
    assert.ok(Math.min(...left) <= 2.05, `at least ${Math.min(...left)} s were left`);
    assert.ok(Math.min(...left) > 0.5, `only ${Math.min(...left)} s were left`);
  });

  test('steps of the wall clock do not matter', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const tenant = move(SHORT);
    const subnet = await tenant.holds();
    const revision = (await lease(subnet))!.revision;
    for (const step of [400 * 86_400_000, -800 * 86_400_000]) {
      t.mock.timers.setTime(Math.max(0, Date.now() + step));
      const { renewals } = tenant.keeper.status();
      await waitFor('two renewals', () => tenant.keeper.status().renewals >= renewals + 2);
      assert.ok(tenant.keeper.status().secondsLeft! <= 3);
    }
    // Each of them was due: a clock that is believed renews at once, or never.
    assert.ok(tenant.keeper.status().renewals < 30, `${tenant.keeper.status().renewals} renewals`);
    assert.equal((await lease(subnet))!.revision, revision);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
  });

  test('a reservation is used, and stays one', async () => {
    await put('10.5.30.0/24', MINE);
    const before = await lease('10.5.30.0/24');
    const tenant = move({ ...SHORT, previous: '10.5.31.1/24' });
    assert.equal(await tenant.holds(), '10.5.30.0/24');
    assert.deepEqual(tenant.keeper.status().reservation, true);
    assert.equal(tenant.keeper.status().secondsLeft, null);
    assert.deepEqual(await lease('10.5.30.0/24'), before);
    tenant.keeper.republish(attributesOf('192.0.2.1', { backendType: 'host-gw' }));
    const shown = await waitFor('the new words', async () => {
      const found = await lease('10.5.30.0/24');
      return found?.value.includes('host-gw') ? found : undefined;
    });
    assert.equal(shown.lease, '0');
    await tenant.stop();
    assert.equal(await move(SHORT).holds(), '10.5.30.0/24');
    assert.equal((await lease('10.5.30.0/24'))?.lease, '0');
  });

  test('a reservation that does not fit stays, and another subnet is taken', async () => {
    await put('10.77.0.0/24', MINE);
    const tenant = move();
    assert.match(await tenant.holds(), /^10\.5\./);
    assert.equal((await leases()).size, 2);
    assert.equal(tenant.book.warnings().length, 1);
  });

  test('a lease made a reservation is one from then on, and the other way round', async () => {
    const tenant = move(SHORT);
    const subnet = await tenant.holds();
    await put(subnet, MINE);
    await waitFor('a reservation', () => tenant.keeper.status().reservation);
    const { renewals } = tenant.keeper.status();
    await putLeased(subnet, MINE, 5);
    await waitFor('a renewal', () => tenant.keeper.status().renewals > renewals);
    assert.equal(tenant.keeper.status().reservation, false);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
  });

  test('a node whose PublicIP another takes for its own says so', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    assert.equal(await move().holds(), subnet);
    await waitFor('a warning', () => tenant.book.warnings().length > 0);
    assert.match(tenant.book.warnings().join('|'), /^another agent keeps the key of .* nodes\?$/);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
  });

  test('a lease deleted is told, and taken again without leaving the process', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    await etcd.delete(keyOf(subnet));
    await waitFor('the lease to be held again', () => tenant.times('held') === 2);
    assert.deepEqual(tenant.events, [
      `held ${subnet}`,
      'lost its key was deleted',
      `held ${subnet}`,
    ]);
    assert.equal((await lease(subnet))?.value, MINE);
    assert.equal(tenant.keeper.status().lost, 1);
  });

  test("another node's words under the key are never written over", async () => {
    const tenant = move(SHORT);
    const subnet = await tenant.holds();
    await put(subnet, OTHERS);
    await waitFor('another lease', () => tenant.times('held') === 2);
    assert.notEqual(tenant.subnet(), subnet);
    assert.match(tenant.events[1]!, /^lost .*192\.0\.2\.9/);
    const { renewals } = tenant.keeper.status();
    await waitFor('renewals of the other', () => tenant.keeper.status().renewals > renewals + 1);
    assert.equal((await lease(subnet))?.value, OTHERS);
    assert.equal((await leases()).size, 2);
  });

  test('a neighbour of the key does not matter, nor do the same words written again', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    await put(`${subnet.replace('/', '-')}&fd00::-64`, OTHERS);
    const { lease: id } = (await lease(subnet))!;
    await etcd.etcdctl(['put', `--lease=${BigInt(id).toString(16)}`, '--', keyOf(subnet), MINE]);
    const { revision } = (await lease(subnet))!;
    // A change that is published proves that what came before it was heard.
    tenant.keeper.republish(attributesOf('192.0.2.1', { backendType: 'host-gw' }));
    await waitFor('the change', async () => (await lease(subnet))!.revision > revision);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
    assert.equal((await lease(subnet))!.lease, id);
  });

  test('other words under its own PublicIP are told of and put right, not in a fight', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    for (const [index, odd] of [
      'rubbish',
      '{"PublicIP":"192.0.2.1","BackendType":"x"}',
    ].entries()) {
      await put(subnet, odd);
      await waitFor('our words', async () => (await lease(subnet))?.value === MINE);
      assert.equal(tenant.book.warnings().length, index + 1, tenant.book.text);
    }
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
  });

  test('a changed PublicIP or MAC is published under the same key and etcd lease', async () => {
    const mac = (VtepMAC: string) => {
      return { backendType: 'vxlan', backendData: JSON.stringify({ VNI: 1, VtepMAC }) };
    };
    const tenant = move({ attributes: attributesOf('192.0.2.1', mac('aa:00:00:00:00:01')) });
    const subnet = await tenant.holds();
    const first = await lease(subnet);
    tenant.keeper.republish(attributesOf('192.0.2.1', mac('aa:00:00:00:00:02')));
    tenant.keeper.republish(attributesOf('192.0.2.77', mac('aa:00:00:00:00:03')));
    const shown = await waitFor('the change', async () => {
      const found = await lease(subnet);
      return found?.value.includes('192.0.2.77') ? found : undefined;
    });
    assert.match(shown.value, /:03"}}$/);
    assert.equal(shown.lease, first!.lease);
    await waitFor('the status', () => {
      return tenant.keeper.status().lease?.publicAddress === parseAddress4('192.0.2.77');
    });
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
    assert.equal((await leases()).size, 1);
  });

  test('its own changes, heard late, are not taken for those of others', async () => {
    const tenant = move();
    const subnet = await tenant.holds();
    for (let change = 0; change < 30; change++) {
      const address = parseAddress4(`192.0.4.${change}`)!;
      tenant.keeper.republish(attributesOf(`192.0.4.${change}`));
      const isPublished = () => tenant.keeper.status().lease?.publicAddress === address;
      await waitFor('the change', isPublished, { every: 1 });
    }
    assert.match((await lease(subnet))!.value, /"192\.0\.4\.29"/);
    assert.deepEqual(tenant.book.warnings(), []);
    assert.deepEqual(tenant.events, [`held ${subnet}`]);
  });

  test('without a free subnet it says so, and takes the one that comes free', async () => {
    for (const subnet of ['10.9.1.0/24', '10.9.2.0/24', '10.9.3.0/24']) await put(subnet, OTHERS);
    const before = await tenancy.etcdLeases(etcd);
    const tenant = move({ network: SMALL });
    await waitFor('trouble', () => tenant.times('trouble') === 1);
    assert.match(tenant.keeper.status().trouble, /^out of subnets: every \/24 from 10\.9\.1\.0 to/);
    assert.deepEqual(await tenancy.etcdLeases(etcd), before);
    await put('10.9.2.0/24', '{"PublicIP":"192.0.2.8"}');
    await etcd.delete(keyOf('10.9.2.0/24'));
    assert.equal(await tenant.holds(), '10.9.2.0/24');
    assert.deepEqual(tenant.events.slice(1), ['well', 'held 10.9.2.0/24']);
    assert.equal(tenant.book.warnings().length, 1);
  });

  test('without a free subnet it takes the one that an operator puts down for it', async () => {
    for (const subnet of ['10.9.1.0/24', '10.9.2.0/24', '10.9.3.0/24']) await put(subnet, OTHERS);
    const tenant = move({ network: SMALL });
    await waitFor('trouble', () => tenant.times('trouble') === 1);
    await put('10.9.2.0/24', '{"PublicIP":"192.0.2.1"}');
    assert.equal(await tenant.holds(), '10.9.2.0/24');
  });

  test('without a free subnet it can be stopped', async () => {
    for (const subnet of ['10.9.1.0/24', '10.9.2.0/24', '10.9.3.0/24']) await put(subnet, OTHERS);
    const tenant = move({ network: SMALL });
    await waitFor('trouble', () => tenant.times('trouble') === 1);
    const begun = performance.now();
    await tenant.stop();
    assert.ok(performance.now() - begun < 30_000, 'it waited for no subnet to come free');
  });

  test('an own lease is found, for backends that keep state in it', async () => {
    const value =
      '{"PublicIP":"192.0.2.1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb"}}';
    await put('10.5.40.0/24', value);
    await put('10.5.39.0/24', OTHERS);
    const { log } = new LogBook();
    const registry = createEtcdRegistry({ endpoints: etcd.endpoints, prefix, timing: KEEN, log });
    const { signal } = new AbortController();
    const own = await registry.findOwn(parseAddress4('192.0.2.1')!, signal);
    assert.equal(own?.backendData, '{"VNI":1,"VtepMAC":"aa:bb"}');
    assert.equal(await registry.findOwn(parseAddress4('192.0.2.2')!, signal), undefined);
  });
});
