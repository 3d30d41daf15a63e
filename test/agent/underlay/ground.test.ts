/** What this host has itself, as the kernel of a namespace tells it. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Fault } from '../../../src/agent/fault.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import { requireApart } from '../../../src/agent/underlay/apart.ts';
import type { Overlay } from '../../../src/agent/underlay/ground.ts';
import { GroundWatch, lookAtGround } from '../../../src/agent/underlay/ground-watch.ts';
import type { Uplink } from '../../../src/agent/uplink.ts';
import { INSIDE_NETWORK, whyBad } from '../../../src/lease/admission.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import {
  formatAddress4,
  formatPrefix4,
  parseAddress4,
  parsePrefix4,
} from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';

const LINKS = `
link set lo up
link add wan0 type veth peer name far0
link set far0 up
link set wan0 up
address add 10.1.0.5/24 dev wan0
link add docker0 type bridge
link set docker0 up
address add 10.200.0.1/16 dev docker0
link add cni0 type bridge
link set cni0 up
address add 10.77.9.1/24 dev cni0
tuntap add dev flannel0 mode tun multi_queue
link set flannel0 up
address add 10.77.9.0/32 dev flannel0
route add default via 10.1.0.1 dev wan0
route add 10.0.0.0/8 dev flannel0
route add 10.2.0.0/16 via 10.1.0.1 dev wan0
route add blackhole 10.5.0.0/16
`;
const UPLINK: Uplink = {
  name: 'wan0',
  mtu: 1500,
  address: parseAddress4('10.1.0.5')!,
  publicAddress: parseAddress4('10.1.0.5')!,
  reason: 'a test',
};

function overlay(network: string, takesNetwork = true): Overlay {
  const subnet = parsePrefix4('10.77.9.0/24')!;
  return { network: parsePrefix4(network)!, subnet, tunnel: 'flannel0', takesNetwork };
}

describe('what this host has itself', () => {
  let space: Namespace;

  before(() => {
    space = createNamespace();
    space.ip(LINKS);
  });
  after(() => space.remove());

  test('its addresses, broadcasts, links, and what goes past the overlay', async () => {
    const { ground } = await lookAtGround(space.run, overlay('10.0.0.0/8'), UPLINK);
    const texts = (addresses: Iterable<number>) => [...addresses].map(formatAddress4).sort();
    assert.deepEqual(texts(ground.addresses), [
      ...['10.1.0.5', '10.200.0.1', '10.77.9.0', '10.77.9.1', '127.0.0.1'],
    ]);
    for (const text of ['10.1.0.0', '10.1.0.255', '10.200.255.255', '10.77.9.255']) {
      assert.ok(ground.broadcasts.has(parseAddress4(text)!), text);
    }
    assert.deepEqual(ground.links.map(formatPrefix4).sort(), [
      ...['10.1.0.0/24', '10.200.0.0/16', '10.77.9.0/24'],
    ]);
    assert.deepEqual(ground.byUnderlay.map(formatPrefix4).sort(), [
      ...['10.1.0.0/24', '10.2.0.0/16', '10.200.0.0/16'],
    ]);
  });

  test('what the kernel takes for itself or for broadcast beside its addresses', async () => {
    space.ip(`address add 192.0.2.77/24 brd 192.0.2.127 dev docker0
address add 198.18.0.1 peer 198.18.5.2/24 dev docker0
route add local 198.51.100.0/24 dev lo
route add local 203.0.113.7 dev lo
route add broadcast 203.0.113.9 dev docker0 table local
`);
    const { ground } = await lookAtGround(space.run, overlay('10.244.0.0/16'), UPLINK);
    const rules = { network: parsePrefix4('10.244.0.0/16')!, own: null, reachable: () => true };
    const refused = (text: string) => {
      const lease = { subnet: parsePrefix4('10.244.7.0/24')!, publicAddress: parseAddress4(text)! };
      return whyBad(lease as Lease, { ...rules, ground });
    };
    for (const text of ['192.0.2.77', '198.18.0.1', '198.51.100.7', '203.0.113.7']) {
      assert.equal(refused(text), 'is an address of this host', text);
    }
    for (const text of ['192.0.2.127', '192.0.2.255', '198.18.5.255', '203.0.113.9']) {
      assert.match(refused(text), /broadcast address/, text);
    }
    for (const text of ['192.0.2.78', '198.18.5.2', '203.0.113.8']) {
      assert.equal(refused(text), '', text);
    }
  });

  test('without a route for all of Network the underlay inside it is reached', async () => {
    const { ground } = await lookAtGround(space.run, overlay('10.0.0.0/8', false), UPLINK);
    assert.deepEqual(ground.byUnderlay.map(formatPrefix4), ['10.0.0.0/8']);
    const apart = await lookAtGround(space.run, overlay('10.64.0.0/10', false), UPLINK);
    assert.deepEqual(apart.ground.byUnderlay, []);
  });

  /** Network beside the underlay 10.1.0.0/24, and what the node needs. */
  const starts: readonly (readonly [network: string, need: string, fault: RegExp | undefined])[] = [
    ['10.244.0.0/16', 'http://10.1.0.9:2379', undefined],
    ['10.0.0.0/8', 'http://10.1.0.9:2379', undefined],
    ['10.0.0.0/8', 'http://10.2.0.9:2379', undefined],
    ['10.0.0.0/8', 'http://10.1.0.5:2379', undefined],
    ['10.0.0.0/8', 'http://127.0.0.1:2379', undefined],
    ['10.0.0.0/8', 'http://192.0.2.1:2379', undefined],
    ['10.0.0.0/8', 'https://10.4.0.9:2379', /contains the underlay 10\.1\.0\.0\/24.*10\.4\.0\.9/],
    ['10.0.0.0/8', 'https://10.5.0.9:2379', /cut off the lease store at 10\.5\.0\.9/],
    [
      '10.1.0.0/24',
      'http://192.0.2.1:2379',
      /the underlay's own, that of wan0.*no node on the link/,
    ],
    ['10.1.0.128/25', 'http://10.1.0.200:2379', /a part of the underlay.*10\.1\.0\.200/],
    ['10.1.0.128/25', 'http://10.1.0.9:2379', undefined],
    ['10.1.0.0/25', 'http://10.1.0.200:2379', /a part of the underlay.*no node on the link/],
    ['10.1.0.4/30', 'http://192.0.2.1:2379', /a part of the underlay.*no node on the link/],
    ['10.1.0.0/30', 'http://192.0.2.1:2379', /it would cut off the gateway 10\.1\.0\.1/],
    ['10.2.0.0/15', 'http://192.0.2.1:2379', undefined],
    ['10.64.0.0/10', 'http://10.100.0.9:2379', /10\.64\.0\.0\/10 has addresses.*10\.100\.0\.9/],
  ];
  for (const [network, need, fault] of starts) {
    const outcome = fault === undefined ? 'goes on' : 'refused';
    test(`Network ${network} with ${need}: ${outcome}`, async () => {
      const look = requireApart(space.run, overlay(network), UPLINK, [need]);
      if (fault === undefined) return await look;
      await assert.rejects(look, (error: Error) => {
        assert.ok(error instanceof Fault);
        assert.equal(error.kind, 'configuration');
        assert.match(error.message, fault);
        assert.match(error.message, /give the overlay a Network .*such as 10\.244\.0\.0\/16/);
        assert.doesNotMatch(error.message, /ip route|delete/);
        return true;
      });
      // The kernel's routes of whole subnets take nothing of it.
      await requireApart(space.run, overlay(network, false), UPLINK, [need]);
    });
  }

  test('an overlap is warned of, and not ready once a node is beyond the link', async () => {
    const readiness = new Readiness();
    const warned: string[] = [];
    let changes = 0;
    const watch = new GroundWatch({
      run: space.run,
      readiness,
      log: { warn: (sentence: unknown) => void warned.push(String(sentence)) },
      overlay: overlay('10.0.0.0/8'),
      uplink: () => UPLINK,
      changed: () => void changes++,
    });
    await watch.look();
    await watch.look();
    assert.equal(changes, 1, 'the same is no news');
    assert.equal(warned.length, 1);
    assert.match(warned[0]!, /10\.0\.0\.0\/8 contains the underlay.*only nodes on the link.*give/);
    assert.deepEqual(readiness.reasons(), []);
    const refusals = (details: readonly string[]) => {
      const rows = details.map((detail) => {
        return { key: '10.3.0.0-24', reason: 'bad_public_address' as const, detail };
      });
      return { refusals: () => rows } as unknown as Parameters<GroundWatch['heed']>[0];
    };
    watch.heed(refusals(['PublicIP 127.0.0.1 is loopback']));
    assert.deepEqual(readiness.reasons(), []);
    watch.heed(refusals([`PublicIP 10.4.0.7 ${INSIDE_NETWORK}`]));
    assert.match(readiness.reasons().join(), /not on the link are not reached \(10\.3\.0\.0-24\)/);
    watch.heed(refusals([]));
    assert.deepEqual(readiness.reasons(), []);
    space.ip('address add 10.1.0.77/24 dev wan0\n');
    await watch.look();
    assert.equal(changes, 2);
    assert.ok(watch.ground!.addresses.has(parseAddress4('10.1.0.77')!));
    await watch.stop();
  });
});
