import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  contains,
  formatAddress4,
  formatAddress6,
  formatPrefix4,
  isLinkLocal4,
  isLoopback4,
  isMulticast4,
  isReserved4,
  isThisNetwork4,
  isUnspecifiedOrBroadcast4,
  maskOf,
  overlaps,
  parseAddress4,
  parseAddress6,
  parseInterface4,
  parsePrefix4,
  prefixContains,
} from '../../src/wire/address.ts';
import { runSeed } from '../support/random.ts';

const seed = runSeed();
const address4 = fc.integer({ min: 0, max: 0xffffffff });

function address(text: string): number {
  return parseAddress4(text) ?? assert.fail(`${text} must parse`);
}

test('dotted quads and nothing else', () => {
  assert.equal(parseAddress4('0.0.0.0'), 0);
  assert.equal(parseAddress4('10.244.0.1'), 0x0af40001);
  assert.equal(parseAddress4('255.255.255.255'), 0xffffffff);
  const refused = [
    ...['', '1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1.2.3.04', '00.0.0.0', '1.2.3.'],
    ...['.1.2.3', '1..2.3', '+1.2.3.4', '-1.2.3.4', '1.2.3.4 ', ' 1.2.3.4', '1.2.3.4\n', '1.2.3.x'],
    ...['0x1.2.3.4', '1e1.2.3.4', '1.2.3.4/32', '1.2.3.1000', '١.2.3.4', '::1'],
  ];
  for (const text of refused) assert.equal(parseAddress4(text), undefined, JSON.stringify(text));
});

test('every IPv4 address survives text', () => {
  fc.assert(
    fc.property(address4, (number) => {
      assert.equal(parseAddress4(formatAddress4(number)), number);
      assert.equal(formatAddress4(number | 0), formatAddress4(number));
    }),
    { seed },
  );
});

test('any text parses as IPv4 exactly if Node thinks it is one', () => {
  const digits = fc.stringMatching(/^[0-9.]{1,16}$/);
  const nearly = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 3, maxLength: 5 });
  const text = fc.oneof(
    digits,
    nearly.map((octets) => octets.join('.')),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (given) => {
      assert.equal(parseAddress4(given) !== undefined, isIPv4(given));
    }),
    { seed, numRuns: 2000 },
  );
});

test('prefixes are masked to their base, interfaces are not', () => {
  assert.deepEqual(parsePrefix4('10.244.1.7/24'), { network: 0x0af40100, length: 24 });
  assert.deepEqual(parseInterface4('10.244.1.7/24'), { address: 0x0af40107, length: 24 });
  assert.deepEqual(parsePrefix4('255.1.2.3/0'), { network: 0, length: 0 });
  assert.deepEqual(parsePrefix4('255.1.2.3/32'), { network: 0xff010203, length: 32 });
  assert.deepEqual(parsePrefix4('255.1.2.3/1'), { network: 0x80000000, length: 1 });
  const refused = ['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '/8'];
  for (const text of [...refused, '10.0.0/8', '10.0.0.0/8/8', '10.0.0.0/ 8', '10.0.0.0/8.0']) {
    assert.equal(parsePrefix4(text), undefined, text);
    assert.equal(parseInterface4(text), undefined, text);
  }
  assert.equal(formatPrefix4({ network: 0xff010200, length: 24 }), '255.1.2.0/24');
});

test('masks of every length', () => {
  assert.equal(maskOf(0), 0);
  assert.equal(maskOf(1), 0x80000000);
  assert.equal(maskOf(31), 0xfffffffe);
  assert.equal(maskOf(32), 0xffffffff);
  for (let length = 0; length <= 32; length++) {
    const text = '1'.repeat(length).padEnd(32, '0');
    assert.equal(maskOf(length), Number.parseInt(text, 2));
  }
});

test('containment and overlap', () => {
  const outer = { network: address('10.244.0.0'), length: 16 };
  const inner = { network: address('10.244.7.0'), length: 24 };
  const other = { network: address('10.245.0.0'), length: 16 };
  const everything = { network: 0, length: 0 };
  assert.ok(contains(outer, address('10.244.255.255')));
  assert.ok(!contains(outer, address('10.243.255.255')));
  assert.ok(!contains(outer, address('10.245.0.0')));
  assert.ok(contains(everything, 0xffffffff));
  assert.ok(contains({ network: 0xffffffff, length: 32 }, 0xffffffff));
  assert.ok(prefixContains(outer, inner) && !prefixContains(inner, outer));
  assert.ok(prefixContains(outer, outer) && prefixContains(everything, other));
  assert.ok(overlaps(outer, inner) && overlaps(inner, outer));
  assert.ok(!overlaps(outer, other) && overlaps(everything, outer));
});

test('kinds of address, at their first and last', () => {
  const kinds: [(address: number) => boolean, string, string][] = [
    [isMulticast4, '224.0.0.0', '239.255.255.255'],
    [isLoopback4, '127.0.0.0', '127.255.255.255'],
    [isLinkLocal4, '169.254.0.0', '169.254.255.255'],
    [isThisNetwork4, '0.0.0.0', '0.255.255.255'],
    [isReserved4, '240.0.0.0', '255.255.255.255'],
  ];
  for (const [isKind, first, last] of kinds) {
    assert.ok(isKind(address(first)) && isKind(address(last)), isKind.name);
    assert.ok(isKind(address(first) | 0) && isKind(address(last) | 0), `${isKind.name}, signed`);
    if (address(first) > 0) assert.ok(!isKind(address(first) - 1), isKind.name);
    if (address(last) < 0xffffffff) assert.ok(!isKind(address(last) + 1), isKind.name);
  }
  assert.ok(isUnspecifiedOrBroadcast4(0) && isUnspecifiedOrBroadcast4(0xffffffff));
  assert.ok(isUnspecifiedOrBroadcast4(-1));
  assert.ok(!isUnspecifiedOrBroadcast4(1) && !isUnspecifiedOrBroadcast4(0xfffffffe));
});

// RFC 5952 §4: the left may be written, the right is the one way we write it.
const TEXTS6: [given: string, canonical: string][] = [
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8::1', '2001:db8::1'],
  ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8::0:1', '2001:db8::1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['0:0:1:0:0:0:0:0', '0:0:1::'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ['::ffff:c000:201', '::ffff:192.0.2.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
];

test('IPv6 text, read generously and written canonically', () => {
  for (const [given, canonical] of TEXTS6) {
    const bytes = parseAddress6(given);
    assert.ok(bytes, given);
    assert.equal(bytes.length, 16);
    assert.equal(formatAddress6(bytes), canonical);
  }
  const refused = [
    ...['', ':', ':::', '1', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3', '12345::', 'g::'],
    ...[':1::', '::1:', '1:2:3:4:5:6:7:8::', '::1:2:3:4:5:6:7:8', 'fe80::1%eth0', '[::1]', ' ::1'],
    ...[
      '::1.2.3',
      '::1.2.3.256',
      '1.2.3.4::',
      '::1.2.3.4:5',
      '1:2:3:4:5:6:7:1.2.3.4',
      '::01.2.3.4',
    ],
  ];
  for (const text of refused) assert.equal(parseAddress6(text), undefined, JSON.stringify(text));
});

test('every IPv6 address survives text, and any text parses exactly if Node thinks so', () => {
  const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(sparse, (given) => {
      const text = formatAddress6(Uint8Array.from(given));
      assert.ok(isIPv6(text), text);
      assert.deepEqual(parseAddress6(text), Uint8Array.from(given));
    }),
    { seed, numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f:.]{0,24}$/), (text) => {
      assert.equal(parseAddress6(text) !== undefined, isIPv6(text), text);
    }),
    { seed, numRuns: 5000 },
  );
});
