import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import {
  isOverlayDevice,
  mayBeUnderlay,
  ownerOf,
  usableAddresses,
} from '../../../src/agent/underlay/candidates.ts';
import type { Link, LinkAddress } from '../../../src/linux/link.ts';
import { parseAddress4 } from '../../../src/wire/address.ts';

type Marks = Partial<Omit<LinkAddress, 'family' | 'local'>>;

function row(local: string, marks: Marks = {}): LinkAddress {
  const usual = { prefixLength: 24, scope: 'global', deprecated: false, dynamic: false };
  return { family: 'inet', local, temporary: false, ...usual, ...marks };
}

function link(name: string, ...addresses: LinkAddress[]): Link {
  const attached = { linkType: 'ether', qdisc: 'mq', xdp: false };
  const rest = { index: 1, carrier: true, queueLength: 1000, attached };
  return { ...rest, name, up: true, mtu: 1500, addresses };
}

/** As flannel takes them (`GetInterfaceIP4Addrs`): its own order, then permanence. */
const ORDER: readonly (readonly [what: string, rows: readonly LinkAddress[], best: string])[] = [
  ['the kernel’s order among equals', [row('10.0.0.2'), row('10.0.0.1')], '10.0.0.2'],
  ['global before link-local', [row('169.254.1.1'), row('10.0.0.1')], '10.0.0.1'],
  [
    'global before link-local, whatever the scope',
    [row('169.254.1.1', { scope: 'global' }), row('10.0.0.1', { scope: 'link' })],
    '10.0.0.1',
  ],
  [
    'a range before permanence',
    [row('169.254.1.1'), row('10.0.0.1', { dynamic: true, deprecated: true })],
    '10.0.0.1',
  ],
  ['permanent before dynamic', [row('10.0.0.9', { dynamic: true }), row('10.0.0.1')], '10.0.0.1'],
  [
    'dynamic before deprecated',
    [row('10.0.0.9', { deprecated: true }), row('10.0.0.1', { dynamic: true })],
    '10.0.0.1',
  ],
  ['link-local where there is nothing else', [row('169.254.1.1')], '169.254.1.1'],
  ['deprecated where there is nothing else', [row('10.0.0.9', { deprecated: true })], '10.0.0.9'],
  ['a global one on lo', [row('127.0.0.1', { scope: 'host' }), row('10.0.0.1')], '10.0.0.1'],
  ['private, shared and global ranges alike', [row('100.64.0.1'), row('10.0.0.1')], '100.64.0.1'],
];

/** RFC 1122 §3.2.1.3, RFC 5771, RFC 919: no datagram of another node comes there. */
const NEVER = ['0.0.0.0', '0.1.2.3', '127.0.0.1', '127.255.0.1', '224.0.0.1', '239.1.1.1'];

describe('addresses of a link that may be the underlay’s', () => {
  for (const [what, rows, best] of ORDER) {
    test(what, () => assert.equal(usableAddresses(link('eth0', ...rows))[0]?.local, best));
  }

  for (const text of [...NEVER, '255.255.255.255']) {
    test(`never ${text}`, () => {
      assert.equal(mayBeUnderlay(parseAddress4(text)!), false);
      assert.deepEqual(usableAddresses(link('lo', row(text))), []);
    });
  }

  test('the owner of an address is the link of that name first', () => {
    const links = [link('a', row('10.0.0.1')), link('b', row('10.0.0.1'))];
    assert.equal(ownerOf(links, parseAddress4('10.0.0.1')!)?.name, 'a');
    assert.equal(ownerOf(links, parseAddress4('10.0.0.1')!, 'b')?.name, 'b');
    assert.equal(ownerOf(links, parseAddress4('10.0.0.2')!), undefined);
  });

  test('the overlay’s own devices are none', () => {
    const own = ['weft7', 'flannel.1', 'flannel.4096', 'eth0', 'flannel0', 'flannel.x'];
    const are = own.map((name) => isOverlayDevice(name, 'weft7'));
    assert.deepEqual(are, [true, true, true, false, false, false]);
  });
});
