import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Attributes, Subnets } from '../../src/lease/lease.ts';
import {
  formatLeaseValue,
  formatSubnetKey,
  parseLeaseValue,
  parseSubnetKey,
  sameLease,
} from '../../src/lease/lease.ts';
import { maskOf, parseAddress4, parseAddress6 } from '../../src/wire/address.ts';
import { runSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const v4 = (text: string) => parseAddress4(text) as number;
const v6 = (text: string) => parseAddress6(text) as Uint8Array;

describe('subnet keys', () => {
  const good: readonly [key: string, subnets: Subnets][] = [
    ['10.5.34.0-24', { subnet: { network: v4('10.5.34.0'), length: 24 } }],
    ['10.5.34.2-31', { subnet: { network: v4('10.5.34.2'), length: 31 } }],
    ['0.0.0.0-0', { subnet: { network: 0, length: 0 } }],
    ['192.168.0.0-16', { subnet: { network: v4('192.168.0.0'), length: 16 } }],
    [
      '10.12.13.0-24&fd00:12:13::-56',
      {
        subnet: { network: v4('10.12.13.0'), length: 24 },
        subnet6: { network: v6('fd00:12:13::'), length: 56 },
      },
    ],
    [
      '10.12.13.0-24&fd00::1:0-127',
      {
        subnet: { network: v4('10.12.13.0'), length: 24 },
        subnet6: { network: v6('fd00::1:0'), length: 127 },
      },
    ],
  ];
  for (const [key, subnets] of good) {
    test(`${key} is read and written back`, () => {
      assert.deepEqual(parseSubnetKey(key), { ok: true, value: subnets });
      assert.equal(formatSubnetKey(subnets), key);
    });
  }

  const bad = [
    // What flannel's own tests reject.
    ...['', '10', '10.12.13.0', '10.12.13.0-', '10.12.13-24', '10.12.13.300-24'],
    ...['10.12.13.0-24x', '10.12.13.0-24&', '&2001::-56', '2001::-56'],
    ...['10.12.13.0-24&2001::', '10.12.13.0-24&2001::-', '10.12.13.0-24&20x1::-56'],
    ...['10.12.13.0-24&2001:::-56', '10.12.13.0-24&1:2:3-56', '10.12.13.0-24&2001::-56x'],
    // Lengths that do not fit 5 and 7 bits.
    ...['10.12.13.0-32', '10.12.13.0-33', '10.12.13.0-999', '10.12.13.0-24&2001::-128'],
    // Not the one spelling of a key, or not a key of this folder.
    ...['10.12.13.7-24', '10.12.13.0-024', '010.12.13.0-24', ' 10.12.13.0-24', '10.12.13.0-24\n'],
    ...['x10.12.13.0-24', 'deeper/10.12.13.0-24', '10.12.13.0/24', '10.12.13.0-+24', '-24'],
    ...['10.12.13.0-24&2001::1-56', '10.12.13.0-24&2001::-56&2002::-56', '\u0000', '__proto__'],
  ];
  for (const key of bad) {
    test(`${JSON.stringify(key)} is refused with a reason`, () => {
      const parsed = parseSubnetKey(key);
      assert.ok(!parsed.ok);
      assert.match(parsed.reason, /\w/);
    });
  }

  test('every subnet there can be goes out and back', () => {
    const length = fc.integer({ min: 0, max: 31 });
    const address = fc.integer({ min: 0, max: 0xffffffff });
    const property = fc.property(address, length, (bits, long) => {
      const subnet = { network: (bits & maskOf(long)) >>> 0, length: long };
      assert.deepEqual(parseSubnetKey(formatSubnetKey({ subnet })), {
        ok: true,
        value: { subnet },
      });
    });
    fc.assert(property, { seed: runSeed(), numRuns: rounds(2000) });
  });

  test('no text whatever makes the parser throw', () => {
    const property = fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.equal(typeof parseSubnetKey(text).ok, 'boolean');
      assert.equal(typeof parseLeaseValue(text).ok, 'boolean');
    });
    fc.assert(property, { seed: runSeed(), numRuns: rounds(1000) });
  });
});

describe('lease values', () => {
  const address = v4('192.0.2.7');
  const exact: readonly [what: string, attributes: Attributes, text: string][] = [
    [
      'udp and alloc',
      { publicAddress: address, backendType: '' },
      '{"PublicIP":"192.0.2.7","PublicIPv6":null}',
    ],
    [
      'host-gw',
      { publicAddress: address, backendType: 'host-gw' },
      '{"PublicIP":"192.0.2.7","PublicIPv6":null,"BackendType":"host-gw"}',
    ],
    [
      'vxlan',
      {
        publicAddress: address,
        backendType: 'vxlan',
        backendData: '{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}',
      },
      '{"PublicIP":"192.0.2.7","PublicIPv6":null,"BackendType":"vxlan",' +
        '"BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}',
    ],
    [
      'vxlan on two families',
      {
        publicAddress: address,
        publicAddress6: v6('2001:db8::7'),
        backendType: 'vxlan',
        backendData: '{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}',
        backendData6: '{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:00"}',
      },
      '{"PublicIP":"192.0.2.7","PublicIPv6":"2001:db8::7","BackendType":"vxlan",' +
        '"BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"},' +
        '"BackendV6Data":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:00"}}',
    ],
    [
      'extension, whose data Go makes safe for HTML',
      {
        publicAddress: address,
        backendType: 'extension',
        backendData: '"\\u003ca \\u0026 b\\u003e"',
      },
      '{"PublicIP":"192.0.2.7","PublicIPv6":null,"BackendType":"extension",' +
        '"BackendData":"\\u003ca \\u0026 b\\u003e"}',
    ],
  ];
  for (const [what, attributes, text] of exact) {
    test(`of ${what} are written as flanneld writes them, and read back`, () => {
      assert.equal(formatLeaseValue(attributes), text);
      assert.deepEqual(parseLeaseValue(text), { ok: true, value: attributes });
    });
  }

  test('are written safe for HTML, whatever is in them', () => {
    const data = '{"x":"<a & b>\u2028"}';
    const attributes = { publicAddress: address, backendType: '<b>', backendData: data };
    const text = formatLeaseValue(attributes);
    assert.match(text, /"BackendType":"\\u003cb\\u003e".*"\\u003ca \\u0026 b\\u003e\\u2028"/);
    const { backendData, backendType } = JSON.parse(text.replace('BackendData', 'backendData'));
    assert.deepEqual([backendData, backendType], [JSON.parse(data), undefined]);
  });

  const lenient: readonly [what: string, text: string, attributes: Attributes][] = [
    [
      'of old versions, without PublicIPv6',
      '{"PublicIP":"192.0.2.7"}',
      { publicAddress: address, backendType: '' },
    ],
    [
      'without PublicIP, which flannel reads as 0.0.0.0',
      '{}',
      { publicAddress: 0, backendType: '' },
    ],
    [
      'in other letters and with members of others',
      ' {"publicip":"192.0.2.7","BACKENDTYPE":"udp","Expiration":"2015-06-30"} ',
      { publicAddress: address, backendType: 'udp' },
    ],
    [
      'with a member twice, of which the last counts',
      '{"PublicIP":"192.0.2.1","publicIP":"192.0.2.7"}',
      { publicAddress: address, backendType: '' },
    ],
  ];
  for (const [what, text, attributes] of lenient) {
    test(`${what} are read`, () => {
      assert.deepEqual(parseLeaseValue(text), { ok: true, value: attributes });
    });
  }

  const bad: readonly [text: string, reason: RegExp][] = [
    ['', /not JSON/],
    ['garbage', /not JSON/],
    ['{"PublicIP":"192.0.2.7"', /not JSON/],
    ['null', /not a JSON object/],
    ['[]', /not a JSON object/],
    ['"192.0.2.7"', /not a JSON object/],
    ['{"PublicIP":7}', /PublicIP/],
    ['{"PublicIP":null}', /PublicIP/],
    ['{"PublicIP":"192.0.2.300"}', /PublicIP.*192\.0\.2\.300/],
    ['{"PublicIP":"node7"}', /PublicIP.*node7/],
    ['{"PublicIP":"2001:db8::7"}', /PublicIP/],
    ['{"PublicIP":"192.0.2.7","PublicIPv6":"x"}', /PublicIPv6/],
    ['{"PublicIP":"192.0.2.7","BackendType":4}', /BackendType/],
    ['{"PublicIP":8,"BackendType":4}', /PublicIP.*BackendType/],
  ];
  for (const [text, reason] of bad) {
    test(`${JSON.stringify(text)} is refused with the reason`, () => {
      const parsed = parseLeaseValue(text);
      assert.ok(!parsed.ok);
      assert.match(parsed.reason, reason);
    });
  }

  test('of 4 KiB are read, and of a byte more refused by their length', () => {
    const around = '{"PublicIP":"192.0.2.7","BackendData":""}';
    const text = (bytes: number) => around.replace('""', `"${'x'.repeat(bytes - around.length)}"`);
    assert.ok(parseLeaseValue(text(4096)).ok);
    const over = parseLeaseValue(text(4097));
    assert.ok(!over.ok);
    assert.match(over.reason, /too long: 4097 bytes, where at most 4096/);
  });

  test('are the same only if every attribute is', () => {
    const lease = { key: '10.5.34.0-24', subnet: { network: 0x0a052200, length: 24 } };
    const base = { ...lease, publicAddress: address, backendType: '', backendData: '{"a":1}' };
    assert.ok(sameLease(base, structuredClone(base)));
    const others = [
      { ...base, publicAddress: 1 },
      { ...base, backendType: 'udp' },
      { ...base, backendData: '{"a":2}' },
      { ...base, backendData6: '{"a":1}' },
      { ...base, publicAddress6: v6('::1') },
      { ...base, key: '10.5.34.0-24&::-8' },
      null,
    ];
    for (const other of others) assert.ok(!sameLease(base, other), JSON.stringify(other));
    const six = { ...base, publicAddress6: v6('::1') };
    assert.ok(!sameLease(six, { ...base, publicAddress6: v6('::2') }));
  });
});
