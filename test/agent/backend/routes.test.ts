/** Which routes are a backend's own, and which lines of `ip monitor` wake it. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { compileIsOurs, isRelevant } from '../../../src/agent/backend/routes.ts';
import type { Route } from '../../../src/linux/route.ts';
import { parsePrefix4 } from '../../../src/wire/address.ts';
import { leaseOf } from '../backend.cases.ts';

const ground = {
  network: parsePrefix4('10.244.0.0/16')!,
  subnet: parsePrefix4('10.244.1.0/24')!,
};

describe('routes of peers', () => {
  const lease = leaseOf('10.244.2.0-24', '{"PublicIP":"192.0.2.2","BackendType":"host-gw"}');
  const isOurs = compileIsOurs(ground, 'eth1', [lease]);
  const route: Route = {
    destination: '10.244.2.0/24',
    type: 'unicast',
    device: 'eth0',
    gateway: '192.0.2.2',
    metric: 0,
    protocol: 'boot',
    onlink: false,
    multipath: false,
  };

  test('by an earlier uplink are ours if they lead to the lease by its PublicIP', () => {
    assert.equal(isOurs(route), true);
    assert.equal(isOurs({ ...route, gateway: '192.0.2.3' }), false, 'another gateway');
    assert.equal(isOurs({ ...route, destination: '10.244.3.0/24' }), false, 'no lease');
    assert.equal(isOurs({ ...route, protocol: 'static' }), false, 'set by others');
    assert.equal(isOurs({ ...route, metric: 7 }), false);
    assert.equal(isOurs({ ...route, onlink: true }), false);
    assert.equal(isOurs({ ...route, destination: '10.244.3.0/24', device: 'eth1' }), true);
  });
});

describe('lines of ip monitor', () => {
  const vxlan = { devices: ['flannel.1', 'eth0'], neighboursOf: 'flannel.1' };
  const wakes = (line: string, concern: Parameters<typeof isRelevant>[2] = vxlan) =>
    isRelevant(line, ground, concern);

  test("of the uplink's neighbours wake nobody, those of the vxlan device do", () => {
    const mac = '0a:00:00:00:00:01';
    assert.equal(wakes(`[NEIGH]192.0.2.2 dev eth0 lladdr ${mac} STALE`), false);
    assert.equal(wakes('[NEIGH]Deleted 10.244.9.9 dev cni0 FAILED'), false);
    assert.equal(wakes(`[NEIGH]Deleted 10.244.2.0 dev flannel.1 lladdr ${mac} PERMANENT`), true);
    assert.equal(wakes(`[NEIGH]10.244.2.0 dev flannel.1 lladdr ${mac}`, { devices: [] }), false);
  });

  test('of a device are known by its whole name', () => {
    const flags = '<BROADCAST,MULTICAST,UP> mtu 1500';
    assert.equal(wakes(`[LINK]3: eth0: ${flags}`), true);
    assert.equal(wakes(`[LINK]3: eth0@if2: ${flags}`), true);
    assert.equal(wakes(`[LINK]Deleted 4: flannel.1: ${flags}`), true);
    assert.equal(wakes('[ADDR]3: eth0    inet 192.0.2.1/24 scope global eth0\\       valid'), true);
    assert.equal(wakes('[ROUTE]default via 192.0.2.254 dev eth0'), true);
    assert.equal(wakes(`[LINK]9: eth01: ${flags}`), false);
    assert.equal(wakes(`[LINK]9: veth0: ${flags}`), false);
    assert.equal(wakes(`[LINK]9: eth0.7: ${flags}`), false);
    assert.equal(wakes(`[LINK]9: flannel.12: ${flags}`), false);
  });

  test('of subnets of other nodes wake, by whatever device', () => {
    assert.equal(wakes('[ROUTE]Deleted 10.244.2.0/24 via 192.0.2.2 dev eth7'), true);
    assert.equal(wakes('[ROUTE]10.244.1.7 dev veth12 scope link'), false);
  });
});
