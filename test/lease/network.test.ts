import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { NetworkConfig } from '../../src/lease/network.ts';
import { parseNetworkConfig } from '../../src/lease/network.ts';
import { formatAddress4, formatAddress6 } from '../../src/wire/address.ts';
import { runSeed } from '../support/random.ts';

/** The range of IPv4 as text: "NETWORK/LENGTH SUBNETLENGTH MIN MAX". */
function range4({ ipv4 }: NetworkConfig): string {
  if (ipv4 === null) return 'none';
  const { network, subnetLength, subnetMin, subnetMax } = ipv4;
  const prefix = `${formatAddress4(network.network)}/${network.length}`;
  return [prefix, subnetLength, formatAddress4(subnetMin), formatAddress4(subnetMax)].join(' ');
}

function range6({ ipv6 }: NetworkConfig): string {
  if (ipv6 === null) return 'none';
  const { network, subnetLength, subnetMin, subnetMax } = ipv6;
  const prefix = `${formatAddress6(network.network)}/${network.length}`;
  return [prefix, subnetLength, formatAddress6(subnetMin), formatAddress6(subnetMax)].join(' ');
}

function read(config: unknown): NetworkConfig {
  const parsed = parseNetworkConfig(JSON.stringify(config));
  assert.ok(parsed.ok, `refused: ${JSON.stringify(parsed)}`);
  return parsed.config;
}

function faultsOf(text: string): readonly string[] {
  const parsed = parseNetworkConfig(text);
  assert.ok(!parsed.ok, `accepted: ${text}`);
  return parsed.faults;
}

describe('network config', () => {
  const ranges: readonly [config: object, range: string][] = [
    [{ Network: '10.244.0.0/16' }, '10.244.0.0/16 24 10.244.1.0 10.244.255.0'],
    [{ Network: '10.3.4.5/16' }, '10.3.0.0/16 24 10.3.1.0 10.3.255.0'],
    [{ Network: '10.0.0.0/22' }, '10.0.0.0/22 24 10.0.1.0 10.0.3.0'],
    [{ Network: '10.0.0.0/23' }, '10.0.0.0/23 25 10.0.0.128 10.0.1.128'],
    [{ Network: '10.0.0.0/28' }, '10.0.0.0/28 30 10.0.0.4 10.0.0.12'],
    [{ Network: '0.0.0.0/1' }, '0.0.0.0/1 24 0.0.1.0 127.255.255.0'],
    [{ Network: '10.0.0.0/8', SubnetLen: 30 }, '10.0.0.0/8 30 10.0.0.4 10.255.255.252'],
    [{ Network: '10.0.0.0/8', SubnetLen: 10 }, '10.0.0.0/8 10 10.64.0.0 10.192.0.0'],
    [{ Network: '10.0.0.0/8', SubnetLen: 0 }, '10.0.0.0/8 24 10.0.1.0 10.255.255.0'],
    [
      { Network: '10.0.0.0/8', SubnetLen: 20, SubnetMin: '10.10.0.0', SubnetMax: '10.99.0.0' },
      '10.0.0.0/8 20 10.10.0.0 10.99.0.0',
    ],
    [
      { Network: '10.0.0.0/8', SubnetMin: '0.0.0.0', SubnetMax: '0.0.0.0' },
      '10.0.0.0/8 24 10.0.1.0 10.255.255.0',
    ],
    [{ network: '10.0.0.0/16', SUBNETLEN: 26, extra: {} }, '10.0.0.0/16 26 10.0.0.64 10.0.255.192'],
  ];
  for (const [config, range] of ranges) {
    test(`${JSON.stringify(config)} gives ${range}`, () =>
      assert.equal(range4(read(config)), range));
  }

  const ranges6: readonly [config: object, range: string][] = [
    [{ IPv6Network: 'fd00:244::/48' }, 'fd00:244::/48 64 fd00:244:0:1:: fd00:244:0:ffff::'],
    [{ IPv6Network: 'fd00::/62' }, 'fd00::/62 64 fd00:0:0:1:: fd00:0:0:3::'],
    [{ IPv6Network: 'fd00::/63' }, 'fd00::/63 65 fd00::8000:0:0:0 fd00:0:0:1:8000::'],
    [{ IPv6Network: 'fd00::/124' }, 'fd00::/124 126 fd00::4 fd00::c'],
    [
      { IPv6Network: 'fd00::/48', IPv6SubnetLen: 56, IPv6SubnetMin: 'fd00:0:0:200::' },
      'fd00::/48 56 fd00:0:0:200:: fd00:0:0:ff00::',
    ],
  ];
  for (const [config, range] of ranges6) {
    test(`${JSON.stringify(config)} gives ${range}`, () => {
      const both = read({ Network: '10.244.0.0/16', EnableIPv6: true, ...config });
      assert.equal(range6(both), range);
      assert.notEqual(both.ipv4, null);
      const only = read({ EnableIPv4: false, EnableIPv6: true, ...config });
      assert.equal(only.ipv4, null);
      assert.equal(range6(only), range6(both));
    });
  }

  test('the backend is udp unless named, and keeps its members', () => {
    assert.deepEqual(read({ Network: '10.0.0.0/16' }).backend, { type: 'udp', options: {} });
    const vxlan = { Type: 'VXLAN', VNI: 4, DirectRouting: true };
    const { backend } = read({ Network: '10.0.0.0/16', Backend: vxlan });
    assert.deepEqual(backend, { type: 'vxlan', options: { VNI: 4, DirectRouting: true } });
    const lower = read({ Network: '10.0.0.0/16', backend: { type: 'host-gw' } });
    assert.equal(lower.backend.type, 'host-gw');
  });

  test('nftables is off unless asked for', () => {
    assert.equal(read({ Network: '10.0.0.0/16' }).enableNftables, false);
    assert.equal(read({ Network: '10.0.0.0/16', EnableNFTables: true }).enableNftables, true);
  });

  const faulty: readonly [config: object | string, ...faults: RegExp[]][] = [
    ['', /not JSON/],
    ['[]', /not a JSON object/],
    [{}, /^Network: there is none: it must be a prefix such as/],
    [{ Network: '10.0.0.0' }, /^Network: "10\.0\.0\.0" must be/],
    [{ Network: '10.0.0.0/33' }, /^Network: "10\.0\.0\.0\/33" has a length over 32: it must be/],
    [{ Network: 'fd00::/48' }, /^Network: "fd00::\/48" must be/],
    [{ Network: '0.0.0.0/0' }, /^Network: 0\.0\.0\.0\/0 is every address/],
    [{ Network: 7 }, /^Network: 7 must be/],
    [{ Network: '10.0.0.0/29' }, /^Network: 10\.0\.0\.0\/29 is too small.*\/28/],
    [{ Network: '10.0.0.0/16', SubnetLen: 31 }, /^SubnetLen: 31 is over 30/],
    [{ Network: '10.0.0.0/16', SubnetLen: 17 }, /^SubnetLen: 17 must be at least 18/],
    [{ Network: '10.0.0.0/16', SubnetLen: -1 }, /^SubnetLen/],
    [{ Network: '10.0.0.0/16', SubnetLen: 24.5 }, /^SubnetLen/],
    [{ Network: '10.0.0.0/16', SubnetMin: '10.1.0.0' }, /^SubnetMin: 10\.1\.0\.0 is outside/],
    [{ Network: '10.0.0.0/16', SubnetMax: '9.255.255.0' }, /^SubnetMax: .* is outside/],
    [{ Network: '10.0.0.0/16', SubnetMin: '10.0.4.1' }, /^SubnetMin: .*first address of a \/24/],
    [{ Network: '10.0.0.0/16', SubnetMax: 'x' }, /^SubnetMax: "x" is not an IPv4 address/],
    [
      { Network: '10.0.0.0/16', SubnetMin: '10.0.9.0', SubnetMax: '10.0.8.0' },
      /^SubnetMin: 10\.0\.9\.0 is above SubnetMax, 10\.0\.8\.0/,
    ],
    [{ EnableIPv4: false }, /both false/],
    [{ Network: '10.0.0.0/16', EnableIPv6: true }, /^IPv6Network: there is none: it must be/],
    [
      { Network: '10.0.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/125' },
      /^IPv6Network: fd00::\/125 is too small/,
    ],
    [
      { Network: '10.0.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/48', IPv6SubnetLen: 127 },
      /^IPv6SubnetLen: 127 is over 126/,
    ],
    [{ Network: '10.0.0.0/16', Backend: {} }, /^Backend\.Type: there is none: name one of udp/],
    [{ Network: '10.0.0.0/16', Backend: 'udp' }, /^Backend/],
    [
      { Network: '10.0.0.0/16', SubnetMin: '1.2.3.4', SubnetMax: '10.0.0.1', Backend: {} },
      ...[/^SubnetMin/, /^SubnetMax/, /^Backend/],
    ],
    // Each hides nothing of the others.
    [
      '{"Network":"10.244.0.0/33","Backend":{"Type":"upd","Port":"x"},"SubnetLen":40}',
      /^Network: "10\.244\.0\.0\/33" has a length over 32/,
      /^SubnetLen: 40 is over 30/,
      /^Backend\.Type: "upd" is no backend .* udp, vxlan, host-gw, alloc/,
      /^Backend\.Port: "x" must be a whole number/,
    ],
    [
      {
        ...{ Network: '10.0.0.0/8', SubnetLen: 9, SubnetMin: '11.0.0.0', SubnetMax: '10.0.0.0.1' },
        Backend: { Type: 'vxlan', VNI: 20_000_000, Port: '8472', MTU: -1, GBP: 'yes' },
      },
      ...[/^SubnetLen: 9 must be at least 10/, /^SubnetMin: 11\.0\.0\.0 is outside/],
      ...[/^SubnetMax: "10\.0\.0\.0\.1" is not/, /^Backend\.VNI: 20000000 .*9999999/],
      ...[
        /^Backend\.Port: "8472" must be a whole/,
        /^Backend\.MTU: -1 must be/,
        /^Backend\.GBP: "yes"/,
      ],
    ],
    [
      { Network: '10.0.0.0/16', Backend: { Type: 'udp', Port: 65_536 } },
      /^Backend\.Port: 65536 must be from 1 to 65535/,
    ],
    [
      { EnableIPv6: true, Network: 'x', IPv6Network: 'y', IPv6SubnetLen: 127, Backend: [] },
      ...[/^Network: "x"/, /^IPv6Network: "y"/, /^IPv6SubnetLen: 127/, /^Backend: a list must/],
    ],
    [{ EnableIPv4: 'yes', SubnetLen: 'x', Network: 5 }, /^EnableIPv4/, /^Network/, /^SubnetLen/],
  ];
  for (const [config, ...expected] of faulty) {
    const text = typeof config === 'string' ? config : JSON.stringify(config);
    test(`${JSON.stringify(text)} is refused, each fault named once`, () => {
      const faults = faultsOf(text);
      assert.equal(faults.length, expected.length, faults.join('\n'));
      for (const fault of expected)
        assert.ok(
          faults.some((one) => fault.test(one)),
          faults.join(),
        );
    });
  }

  test('whatever is accepted has its range inside the network and aligned', () => {
    const config = fc.record({
      length: fc.integer({ min: 0, max: 32 }),
      subnetLength: fc.option(fc.integer({ min: 1, max: 32 })),
      address: fc.integer({ min: 0, max: 0xffffffff }),
    });
    const property = fc.property(config, ({ length, subnetLength, address }) => {
      const Network = `${formatAddress4(address)}/${length}`;
      const parsed = parseNetworkConfig(JSON.stringify({ Network, SubnetLen: subnetLength }));
      if (!parsed.ok) return;
      assert.ok(parsed.config.ipv4 !== null);
      const { network, subnetMin, subnetMax, subnetLength: long } = parsed.config.ipv4;
      const size = 2 ** (32 - long);
      assert.ok(network.network + size === subnetMin && subnetMin < subnetMax);
      assert.equal(subnetMax + size, network.network + 2 ** (32 - network.length));
      assert.ok(subnetMin % size === 0 && subnetMax % size === 0);
    });
    fc.assert(property, { seed: runSeed(), numRuns: 2000 });
  });
});
