import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  explainShortage,
  fits,
  ownLeases,
  pickSubnets,
} from '../../../../src/lease/etcd/own/plan.ts';
import { parseSubnetKey } from '../../../../src/lease/lease.ts';
import type { LeaseEntry } from '../../../../src/lease/source.ts';
import {
  contains,
  formatPrefix4,
  overlaps,
  parseAddress4,
  parsePrefix4,
} from '../../../../src/wire/address.ts';
import { runSeed } from '../../../support/random.ts';
import { networkOf } from './tenant.ts';

const NETWORK = networkOf({ Network: '10.5.0.0/16', SubnetMin: '10.5.4.0', SubnetMax: '10.5.9.0' });
const DUAL = networkOf({
  Network: '10.5.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fd00:5::/48',
});
const NONE = { subnet: undefined, subnet6: undefined };

const subnetsOf = (key: string) => {
  const parsed = parseSubnetKey(key);
  assert.ok(parsed.ok, key);
  return parsed.value;
};
const entries = (...keys: string[]): LeaseEntry[] =>
  keys.map((key) => ({ key, value: '', order: 1 }));

describe('whether a subnet fits the network config', () => {
  const cases: readonly [key: string, config: typeof NETWORK, fits: boolean][] = [
    ['10.5.4.0-24', NETWORK, true],
    ['10.5.9.0-24', NETWORK, true],
    ['10.5.3.0-24', NETWORK, false],
    ['10.5.10.0-24', NETWORK, false],
    ['10.5.4.0-25', NETWORK, false],
    ['10.5.4.0-22', NETWORK, false],
    ['10.6.5.0-24', NETWORK, false],
    ['10.5.4.0-24&fd00:5:0:1::-64', NETWORK, false],
    ['10.5.4.0-24&fd00:5:0:1::-64', DUAL, true],
    ['10.5.4.0-24', DUAL, false],
    ['10.5.4.0-24&fd00:5::-64', DUAL, false],
    ['10.5.4.0-24&fd00:5:0:10::-60', DUAL, false],
    ['10.5.4.0-24&fd00:6:0:1::-64', DUAL, false],
  ];
  for (const [key, config, expected] of cases) {
    test(`${key} ${expected ? 'does' : 'does not'}`, () => {
      assert.equal(fits(subnetsOf(key), config), expected);
    });
  }
});

test('own leases are those of exactly this PublicIP, in the order of the list', () => {
  const list = [
    ['10.5.9.0-24', '{"PublicIP":"192.0.2.1"}'],
    ['10.5.4.0-24', '{"PublicIP":"192.0.2.1","BackendType":"vxlan"}'],
    ['10.5.5.0-24', '{"PublicIP":"192.0.2.11"}'],
    ['10.5.6.0-24', '{"PublicIP":"192.0.2.2","BackendData":"192.0.2.1"}'],
    ['10.5.7.0-24', '"192.0.2.1"'],
    ['bad', '{"PublicIP":"192.0.2.1"}'],
  ].map(([key, value], order) => ({ key: key!, value: value!, order }));
  const own = ownLeases(list, parseAddress4('192.0.2.1')!);
  assert.deepEqual(
    own.map(({ key }) => key),
    ['10.5.9.0-24', '10.5.4.0-24'],
  );
});

describe('subnets for a node without a lease', () => {
  test('share no address with any lease, lie in the range, and are found if there are any', () => {
    const lengths = fc.integer({ min: 18, max: 27 });
    const keys = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 11 }), lengths).map(([third, length]) => {
        return formatPrefix4(parsePrefix4(`10.5.${third}.0/${length}`)!).replace('/', '-');
      }),
      { maxLength: 8 },
    );
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const property = fc.property(keys, chance, (taken, random) => {
      const picked = pickSubnets(entries(...taken), NETWORK, NONE, () => random);
      const free = [4, 5, 6, 7, 8, 9]
        .map((third) => parsePrefix4(`10.5.${third}.0/24`)!)
        .filter((subnet) => !taken.some((key) => overlaps(subnet, subnetsOf(key).subnet)));
      if (picked === undefined) assert.equal(free.length, 0);
      else assert.ok(free.some(({ network }) => network === picked.subnet.network));
    });
    fc.assert(property, { seed: runSeed(), numRuns: 2000 });
  });

  test('the previous ones come first where they are free and fit', () => {
    const pick = (previous: string, ...taken: string[]) => {
      const { subnet } = subnetsOf(previous);
      const picked = pickSubnets(entries(...taken), NETWORK, { ...NONE, subnet }, () => 0);
      return formatPrefix4(picked!.subnet);
    };
    assert.equal(pick('10.5.8.0-24'), '10.5.8.0/24');
    assert.equal(pick('10.5.8.0-24', '10.5.8.0-24'), '10.5.4.0/24');
    assert.equal(pick('10.5.8.0-24', '10.5.8.128-25'), '10.5.4.0/24');
    assert.equal(pick('10.5.3.0-24'), '10.5.4.0/24');
    assert.equal(pick('10.5.8.0-25'), '10.5.4.0/24');
  });

  test('both families are chosen apart from each other', () => {
    const previous = subnetsOf('10.5.8.0-24&fd00:5:0:9::-64');
    const taken = entries('10.5.8.0-24&fd00:5:0:1::-64');
    const picked = pickSubnets(taken, DUAL, { ...NONE, ...previous }, () => 0)!;
    assert.equal(formatPrefix4(picked.subnet), '10.5.1.0/24');
    assert.deepEqual(picked.subnet6, previous.subnet6);
    const other = pickSubnets(taken, DUAL, NONE, () => 0)!;
    assert.deepEqual(other.subnet6, subnetsOf('10.5.8.0-24&fd00:5:0:2::-64').subnet6);
  });

  test('the range of the config is kept to its very ends', () => {
    const { ipv4 } = NETWORK;
    for (const random of [0, 0.999]) {
      const picked = pickSubnets([], NETWORK, NONE, () => random)!;
      assert.ok(contains(ipv4!.network, picked.subnet.network));
      assert.equal(formatPrefix4(picked.subnet), random === 0 ? '10.5.4.0/24' : '10.5.9.0/24');
    }
  });

  test('where there are none, the reason says what to do', () => {
    assert.match(explainShortage(NETWORK, 6), /every \/24 from 10\.5\.4\.0 to 10\.5\.9\.0 .*widen/);
    assert.match(explainShortage(DUAL, 6), /or every \/64 from fd00:5:0:1:: to fd00:5:0:ffff::/);
    const six = networkOf({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:5::/48' });
    assert.equal(pickSubnets([], six, NONE), undefined);
    assert.match(explainShortage(six, 0), /enable IPv4/);
  });
});
