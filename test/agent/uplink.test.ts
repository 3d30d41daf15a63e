import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Fault } from '../../src/agent/fault.ts';
import { chooseUplink, type UplinkWishes } from '../../src/agent/uplink.ts';
import { formatAddress4, parseAddress4 } from '../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../linux/namespace.ts';

/** Two uplinks and one link without a usable address; the default route is over the second. */
const LINKS = `
link add wan0 mtu 9000 type veth peer name far0
link add wan1 type veth peer name far1
link add wan2 type veth peer name far2
link set wan0 up
link set far0 up
link set wan1 up
link set far1 up
link set wan2 up
address add 169.254.7.7/16 dev wan0
address add 192.0.2.1/24 dev wan0
address add 192.0.2.9/24 dev wan0
link add flannel.7 type bridge
link set flannel.7 up
address add 192.0.2.77/32 dev flannel.7
link add weft9 type bridge
link set weft9 up
address add 192.0.2.99/32 dev weft9
link set lo up
address add 198.18.0.8/24 dev wan1 preferred_lft 0
address add 198.51.100.1/25 dev wan1
route add default dev weft9 metric 5
route add default via 198.51.100.126 dev wan1 metric 10
route add default via 192.0.2.254 dev wan0 metric 20
route add 203.0.113.0/24 via 192.0.2.254 dev wan0 src 192.0.2.9
`;

describe('the underlay', () => {
  let space: Namespace;

  before(() => {
    space = createNamespace();
    space.ip(LINKS);
  });
  after(() => space.remove());

  const nothing: UplinkWishes = {
    interfaces: [],
    interfacePatterns: [],
    interfaceCanReach: undefined,
    publicAddress: undefined,
    device: 'weft9',
  };

  async function choose(wishes: Partial<UplinkWishes>): Promise<string> {
    const uplink = await chooseUplink(space.run, { ...nothing, ...wishes });
    const { name, address, publicAddress } = uplink;
    const seen = publicAddress === address ? '' : ` as ${formatAddress4(publicAddress)}`;
    return `${name} ${formatAddress4(address)}${seen}`;
  }

  const cases: [string, Partial<UplinkWishes>, string][] = [
    ['is that of the first default route', {}, 'wan1 198.51.100.1'],
    ['is named', { interfaces: ['wan0'] }, 'wan0 192.0.2.1'],
    ['is named by its address, also a second one', { interfaces: ['192.0.2.9'] }, 'wan0 192.0.2.9'],
    ['is the first name that exists', { interfaces: ['no', 'wan0', 'wan1'] }, 'wan0 192.0.2.1'],
    ['is passed over without address', { interfaces: ['wan2', 'wan1'] }, 'wan1 198.51.100.1'],
    ['matches by address first', { interfacePatterns: [/\.9$/] }, 'wan0 192.0.2.9'],
    ['is no device of the overlay', { interfacePatterns: [/77|99/, /0/] }, 'wan0 192.0.2.1'],
    ['is not lo', { interfaces: ['lo', 'wan0'] }, 'wan0 192.0.2.1'],
    ['is no loopback address', { interfaces: ['127.0.0.1', 'wan0'] }, 'wan0 192.0.2.1'],
    ['is no loopback that matches', { interfacePatterns: [/^127|^lo$/, /0/] }, 'wan0 192.0.2.1'],
    ['matches by name', { interfacePatterns: [/^none/, /an1$/] }, 'wan1 198.51.100.1'],
    [
      'is a name before a pattern',
      { interfaces: ['wan1'], interfacePatterns: [/wan0/] },
      'wan1 198.51.100.1',
    ],
    ['leads somewhere', { interfaceCanReach: parseAddress4('203.0.113.5') }, 'wan0 192.0.2.9'],
    ['leads to a neighbour', { interfaceCanReach: 0xc6336432 }, 'wan1 198.51.100.1'],
    ['owns the public address', { publicAddress: parseAddress4('192.0.2.9') }, 'wan0 192.0.2.9'],
    [
      'is behind NAT',
      { interfaces: ['wan0'], publicAddress: parseAddress4('203.0.113.1') },
      'wan0 192.0.2.1 as 203.0.113.1',
    ],
  ];
  for (const [what, wishes, expected] of cases) {
    test(what, async () => assert.equal(await choose(wishes), expected));
  }

  test('brings its MTU and says why it was taken', async () => {
    const { mtu, reason } = await chooseUplink(space.run, { ...nothing, interfaces: ['wan0'] });
    assert.deepEqual([mtu, reason], [9000, '--iface wan0']);
  });

  const failures: [string, Partial<UplinkWishes>, RegExp][] = [
    [
      'everything that was tried',
      { interfaces: ['no', 'wan2', '192.0.2.77'], interfacePatterns: [/^zz/] },
      /no does not exist.*wan2 has no IPv4 address.*192\.0\.2\.77 is on no.*\^zz matches no/,
    ],
    ['lo', { interfaces: ['lo'] }, /--iface lo has no IPv4 address that peers can send to/],
    ['loopback', { interfaces: ['127.0.0.1'] }, /127\.0\.0\.1 is no address that peers can send/],
    [
      'a public address on lo',
      { publicAddress: 0x7f000001 },
      /--public-ip 127\.0\.0\.1 is no addr/,
    ],
    ['a way to itself', { interfaceCanReach: 0x7f000001 }, /reach 127\.0\.0\.1: this host itself/],
    ['a way into the overlay', { interfaceCanReach: 0x08080808 }, /leads into weft9, the overlay/],
    ['what there is', { interfaces: ['no'] }, /Present: .*wan0 \(192\.0\.2\.1, 192\.0\.2\.9/],
    ['a public address of nobody', { publicAddress: 0x01020304 }, /1\.2\.3\.4 is on no interface/],
  ];
  for (const [what, wishes, message] of failures) {
    test(`not found, names ${what}`, async () => {
      await assert.rejects(choose(wishes), (error: Error) => {
        assert.ok(error instanceof Fault);
        assert.equal(error.kind, 'environment');
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('not found, names a missing default route and a target without route', async () => {
    const empty = createNamespace();
    try {
      const run = empty.run;
      await assert.rejects(chooseUplink(run, nothing), /there is no default route/);
      const wishes = { ...nothing, interfaceCanReach: 0x08080808 };
      await assert.rejects(chooseUplink(run, wishes), /can-reach 8\.8\.8\.8: no route/);
    } finally {
      empty.remove();
    }
  });
});
