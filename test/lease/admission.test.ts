/** Addresses and subnets that no lease of another node has, by kind and by RFC. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AdmissionRules,
  judge,
  type RefusalReason,
  reachableByUdp,
  whyBad,
} from '../../src/lease/admission.ts';
import type { HostGround } from '../../src/lease/host/ground.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';

const address = (text: string) => parseAddress4(text)!;
const prefix = (text: string) => parsePrefix4(text)!;

/** The underlay and a docker bridge, beside the overlay's own devices. */
const APART: HostGround = {
  addresses: new Set(['127.0.0.1', '192.0.2.9', '172.17.0.1', '10.244.9.1'].map(address)),
  broadcasts: new Set(['192.0.2.0', '192.0.2.255', '172.17.0.0', '172.17.255.255'].map(address)),
  links: [prefix('10.244.9.0/24')],
  byUnderlay: [],
};
const RULES: AdmissionRules = {
  network: prefix('10.244.0.0/16'),
  own: { subnet: prefix('10.244.9.0/24'), publicAddress: address('192.0.2.9') },
  reachable: reachableByUdp,
  ground: APART,
};

/** An underlay inside Network, a bridge inside it too, and a static route past the overlay. */
const INSIDE: AdmissionRules = {
  network: prefix('10.0.0.0/8'),
  own: { subnet: prefix('10.77.9.0/24'), publicAddress: address('10.1.0.9') },
  reachable: reachableByUdp,
  ground: {
    addresses: new Set(['10.1.0.9', '10.200.0.1', '10.77.9.1'].map(address)),
    broadcasts: new Set(['10.1.0.0', '10.1.0.255'].map(address)),
    links: ['10.1.0.0/24', '10.200.0.0/16', '10.77.9.0/24'].map(prefix),
    byUnderlay: ['10.1.0.0/24', '10.2.0.0/16', '10.200.0.0/16'].map(prefix),
  },
};
const LINK_LOCAL: AdmissionRules = {
  ...RULES,
  own: { subnet: prefix('10.244.9.0/24'), publicAddress: address('169.254.1.9') },
};

type Verdict = 'peer' | 'own' | RefusalReason;
type Case = readonly [
  what: string,
  rules: AdmissionRules,
  subnet: string,
  publicAddress: string,
  verdict: Verdict,
  why?: RegExp,
];
const OTHER = '10.244.3.0/24';

const CASES: readonly Case[] = [
  ['a node', RULES, OTHER, '192.0.2.3', 'peer'],
  ['a node beyond the link', RULES, OTHER, '198.51.100.3', 'peer'],
  ['our own lease', RULES, '10.244.9.0/24', '192.0.2.9', 'own'],
  ['inside Network', RULES, OTHER, '10.244.4.5', 'bad_public_address', /inside Network/],
  ['the first of Network', RULES, OTHER, '10.244.0.0', 'bad_public_address', /inside Network/],
  ['the last of Network', RULES, OTHER, '10.244.255.255', 'bad_public_address', /inside Network/],
  ['beside Network', RULES, OTHER, '10.245.0.0', 'peer'],
  ['a pod of ours', RULES, OTHER, '10.244.9.7', 'bad_public_address', /inside Network/],
  ['its own pod', RULES, OTHER, '10.244.3.7', 'bad_public_address', /subnet that is behind it/],
  ['our own address', RULES, OTHER, '192.0.2.9', 'own_public_address'],
  ['another of ours', RULES, OTHER, '172.17.0.1', 'bad_public_address', /address of this host/],
  ['our bridge', RULES, OTHER, '10.244.9.1', 'bad_public_address', /address of this host/],
  ['a broadcast', RULES, OTHER, '192.0.2.255', 'bad_public_address', /broadcast address of this/],
  ['a network', RULES, OTHER, '192.0.2.0', 'bad_public_address', /broadcast address of this/],
  ['the limited one', RULES, OTHER, '255.255.255.255', 'bad_public_address', /is broadcast/],
  ['loopback', RULES, OTHER, '127.0.0.1', 'bad_public_address', /loopback/],
  ['loopback at its end', RULES, OTHER, '127.255.255.254', 'bad_public_address', /loopback/],
  ['unset', RULES, OTHER, '0.0.0.0', 'bad_public_address', /not set/],
  ['this network', RULES, OTHER, '0.255.255.255', 'bad_public_address', /no host/],
  ['multicast', RULES, OTHER, '224.0.0.1', 'bad_public_address', /multicast/],
  ['multicast at its end', RULES, OTHER, '239.255.255.255', 'bad_public_address', /multicast/],
  ['link-local', RULES, OTHER, '169.254.0.1', 'bad_public_address', /link-local/],
  ['link-local, as ours is', LINK_LOCAL, OTHER, '169.254.0.1', 'peer'],
  ['beside link-local', RULES, OTHER, '169.253.255.255', 'peer'],
  ['240.0.0.0/4, which some use', RULES, OTHER, '240.0.0.3', 'peer'],
  ['on the link inside Network', INSIDE, '10.3.0.0/24', '10.1.0.7', 'peer'],
  ['by a route past the overlay', INSIDE, '10.3.0.0/24', '10.2.0.7', 'peer'],
  ['behind the overlay', INSIDE, '10.3.0.0/24', '10.4.0.7', 'bad_public_address', /inside Network/],
  ['a pod, in such', INSIDE, '10.3.0.0/24', '10.77.9.7', 'bad_public_address', /inside Network/],
  ['a broadcast, in such', INSIDE, '10.3.0.0/24', '10.1.0.255', 'bad_public_address', /broadcast/],
  ['a subnet on the link', INSIDE, '10.1.0.0/24', '10.1.0.7', 'local_subnet'],
  ['a part of the link', INSIDE, '10.1.0.128/25', '10.1.0.7', 'local_subnet'],
  ['more than the link', INSIDE, '10.0.0.0/15', '10.1.0.7', 'local_subnet'],
  ['a part of a bridge', INSIDE, '10.200.7.0/24', '10.1.0.7', 'local_subnet'],
  ['all of Network', INSIDE, '10.0.0.0/8', '10.1.0.7', 'local_subnet'],
  ['our pods', INSIDE, '10.77.9.128/25', '10.1.0.7', 'own_subnet_elsewhere'],
  ['more than our pods', INSIDE, '10.77.8.0/23', '10.1.0.7', 'peer'],
  ['ours, wider than our pods', RULES, '10.244.0.0/16', '192.0.2.3', 'peer'],
];

describe('a lease is judged by subnet and PublicIP', () => {
  for (const [what, rules, subnet, publicAddress, verdict, why] of CASES) {
    test(`${what}: ${subnet} at ${publicAddress} is ${verdict}`, () => {
      const lease: Lease = {
        key: '',
        subnet: prefix(subnet),
        publicAddress: address(publicAddress),
        backendType: '',
      };
      assert.equal(judge(lease, rules), verdict);
      if (verdict === 'bad_public_address') assert.match(whyBad(lease, rules), why!);
    });
  }

  test('nobody has looked: what the address alone says still counts', () => {
    const { ground: _, ...blind } = RULES;
    for (const [, rules, subnet, publicAddress, verdict, why] of CASES) {
      if (rules !== RULES || /this host|of this/.test(String(why))) continue;
      const lease = { key: '', subnet: prefix(subnet), publicAddress: address(publicAddress) };
      assert.equal(judge({ ...lease, backendType: '' }, blind), verdict, publicAddress);
    }
  });
});
