import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { parseSubnetFile } from '../../../src/agent/node/subnet-file.ts';
import { formatPrefix4 } from '../../../src/wire/address.ts';
import { runSeed } from '../../support/random.ts';

const NETWORK = 'FLANNEL_NETWORK=10.1.0.0/16';
const SUBNET = 'FLANNEL_SUBNET=10.1.5.1/24';

function read(...lines: string[]) {
  const reading = parseSubnetFile(`${lines.join('\n')}\n`);
  assert.ok(reading.ok, JSON.stringify(reading));
  const { network, subnet, mtu } = reading.value;
  return [formatPrefix4(network), formatPrefix4(subnet), mtu];
}

function faults(...lines: string[]): string {
  const reading = parseSubnetFile(lines.join('\n'));
  assert.equal(reading.ok, false);
  return reading.ok ? '' : reading.faults.join('; ');
}

describe('subnet.env', () => {
  const good = ['10.1.0.0/16', '10.1.5.0/24', 1472];
  const readable: [string, string[]][] = [
    ['as flanneld writes it', [NETWORK, SUBNET, 'FLANNEL_MTU=1472', 'FLANNEL_IPMASQ=true']],
    ['in another order', ['FLANNEL_MTU=1472', SUBNET, NETWORK]],
    [
      'with IPv6 lines',
      [NETWORK, SUBNET, 'FLANNEL_IPV6_NETWORK=fd00::/48', 'FLANNEL_IPV6_SUBNET=fd00::1/64'].concat(
        'FLANNEL_MTU=1472',
      ),
    ],
    [
      'with quotes, comments, blanks and exports',
      ['# by hand', '', 'export FLANNEL_NETWORK="10.1.0.0/16" # all', `${SUBNET}   # ours`].concat(
        "FLANNEL_MTU='1472'",
      ),
    ],
    ['with Windows line ends', [`${NETWORK}\r`, `${SUBNET}\r`, 'FLANNEL_MTU=1472\r']],
    ['with lists', [`${NETWORK},10.2.0.0/16`, `${SUBNET}, 10.2.7.1/24`, 'FLANNEL_MTU=1472']],
    [
      'with the network second',
      ['FLANNEL_NETWORK=10.2.0.0/16,10.1.0.0/16', SUBNET].concat('FLANNEL_MTU=1472'),
    ],
    [
      'with both families in a list',
      [`${NETWORK},fd00::/48`, `${SUBNET},fd00::1/64`].concat('FLANNEL_MTU=1472'),
    ],
  ];
  for (const [what, lines] of readable) {
    test(`is read ${what}`, () => assert.deepEqual(read(...lines), good));
  }

  test('may leave out the MTU', () => {
    assert.deepEqual(read(NETWORK, SUBNET), ['10.1.0.0/16', '10.1.5.0/24', undefined]);
  });

  const refused: [string, string[], RegExp][] = [
    ['empty', [], /FLANNEL_NETWORK is missing; FLANNEL_SUBNET is missing/],
    ['without subnet', [NETWORK], /^FLANNEL_SUBNET is missing$/],
    ['with an empty network', ['FLANNEL_NETWORK=', SUBNET], /FLANNEL_NETWORK is missing/],
    ['with IPv6 only', ['FLANNEL_NETWORK=fd00::/48', SUBNET], /no IPv4 prefix: 'fd00::\/48'/],
    ['with a bad prefix', [NETWORK, 'FLANNEL_SUBNET=10.1.5.1'], /'10\.1\.5\.1', which is no IPv4/],
    [
      'with a foreign subnet',
      [NETWORK, 'FLANNEL_SUBNET=10.9.5.1/24'],
      /10\.9\.5\.0\/24 lies outside/,
    ],
    ['with a subnet of two', [NETWORK, 'FLANNEL_SUBNET=10.1.5.1/31'], /at most a \/30/],
    ['with a bad MTU', [NETWORK, SUBNET, 'FLANNEL_MTU=big'], /FLANNEL_MTU is 'big'/],
    ['with a tiny MTU', [NETWORK, SUBNET, 'FLANNEL_MTU=67'], /FLANNEL_MTU/],
    ['with several faults', ['FLANNEL_MTU=x'], /NETWORK.*SUBNET.*MTU/],
  ];
  for (const [what, lines, message] of refused) {
    test(`is refused ${what}`, () => assert.match(faults(...lines), message));
  }

  test('never throws, whatever it is', () => {
    const line = fc.oneof(fc.string(), fc.constantFrom(NETWORK, SUBNET, 'FLANNEL_MTU=', '"', '='));
    const property = fc.property(fc.array(line), (lines) => {
      parseSubnetFile(lines.join('\n'));
    });
    fc.assert(property, { seed: runSeed(), numRuns: 2_000 });
  });
});
