/**
 * What Go's decoder and flannel's own methods make of odd JSON, as a flannel build answered (Go
 * 1.19, `subnet.Config`, `lease.LeaseAttrs`): weft reads what they read, and refuses what they do.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readVtep } from '../../src/agent/backend/vxlan/vtep.ts';
import { parseLeaseValue } from '../../src/lease/lease.ts';
import { parseNetworkConfig } from '../../src/lease/network.ts';
import { formatAddress4, formatAddress6, formatPrefix4 } from '../../src/wire/address.ts';

/** In the members' place `~` stands for `"Network":"10.1.0.0/16"`. */
const CONFIGS: readonly [json: string, result: string | RegExp][] = [
  // Repeated names and their letter case: each is read, the last stays.
  ['{~,"network":"10.2.0.0/16","Network":"10.3.0.0/16"}', '10.3.0.0/16 24 udp'],
  ['{~,"network":"10.2.0.0/16"}', '10.2.0.0/16 24 udp'],
  ['{"Network":"bad","Network":"10.3.0.0/16"}', /^Network: "bad" must/],
  ['{~,"Network":null}', /^Network: null must/],
  ['{"Network":null}', /^Network: null must/],
  ['{~,"SubnetLen":24,"SUBNETLEN":26}', '10.1.0.0/16 26 udp'],
  ['{~,"SubnetLen":24,"subnetlen":null}', '10.1.0.0/16 24 udp'],
  ['{~,"SubnetLen":"x","SubnetLen":24}', /^SubnetLen: "x" must/],
  ['{"Networ\\u006b":"10.1.0.0/16"}', '10.1.0.0/16 24 udp'],
  ['{"Networ\u212a":"10.1.0.0/16","\u017fubnetLen":26}', '10.1.0.0/16 26 udp'],
  ['{~,"Netwörk":"10.9.0.0/16","Network ":"10.9.0.0/16","":1}', '10.1.0.0/16 24 udp'],
  ['{~,"__proto__":{"SubnetLen":26},"constructor":1}', '10.1.0.0/16 24 udp'],
  // Numbers.
  ['{~,"SubnetLen":24.0}', /^SubnetLen: 24\.0 must be a whole number, in plain digits/],
  ['{~,"SubnetLen":1e1}', /^SubnetLen: 1e1 must/],
  ['{~,"SubnetLen":-0}', /^SubnetLen: -0 must/],
  ['{~,"SubnetLen":0}', '10.1.0.0/16 24 udp'],
  ['{~,"SubnetLen":18446744073709551616}', /^SubnetLen: 18446744073709551616 is over/],
  ['{~,"SubnetLen":"24"}', /^SubnetLen: "24" must be a whole number/],
  ['{~,"SubnetLen":024}', /^not JSON: line 1/],
  ['{~,"SubnetLen":+24}', /^not JSON/],
  ['{~,"SubnetLen":true}', /^SubnetLen: true must/],
  ['{~,"SubnetLen":[24]}', /^SubnetLen: a list must/],
  ['{~,"Backend":{"Type":"vxlan","VNI":-0}}', '10.1.0.0/16 24 vxlan {"VNI":0}'],
  ['{~,"Backend":{"Type":"vxlan","VNI":4.0}}', /^Backend\.VNI: 4\.0 must/],
  ['{~,"Backend":{"Type":"vxlan","vni":4,"VNI":5}}', '10.1.0.0/16 24 vxlan {"VNI":5}'],
  ['{~,"Backend":{"Type":"vxlan","VNI":4,"VNI":null}}', '10.1.0.0/16 24 vxlan {"VNI":4}'],
  ['{~,"Backend":{"Type":"vxlan","GBP":1}}', /^Backend\.GBP: 1 must be true or false/],
  // Switches.
  ['{~,"EnableIPv4":null}', '10.1.0.0/16 24 udp'],
  ['{~,"EnableIPv4":0}', /^EnableIPv4: 0 must/],
  ['{~,"EnableIPv4":false,"EnableIPv4":null}', /both false/],
  // Addresses: the letters between the quotes, escapes not undone.
  ['{"Network":"10.1.0.0\\u002f16"}', /^Network: /],
  ['{"Network":" 10.1.0.0/16"}', /^Network: /],
  ['{"Network":"10.01.0.0/16"}', /^Network: /],
  ['{"Network":"10.1.0.0/016"}', '10.1.0.0/16 24 udp'],
  ['{"Network":"10.1.2.3/16"}', '10.1.0.0/16 24 udp'],
  ['{"Network":10}', /^Network: 10 must/],
  ['{"Network":""}', /^Network: "" must/],
  ['{~,"SubnetMin":null}', /^SubnetMin: null is not/],
  ['{~,"SubnetMin":""}', /^SubnetMin: "" is not/],
  ['{~,"SubnetMin":"::ffff:10.1.4.0"}', '10.1.0.0/16 24 udp'],
  ['{~,"IPv6SubnetMin":null}', '10.1.0.0/16 24 udp'],
  ['{~,"IPv6SubnetMin":"10.1.2.3"}', '10.1.0.0/16 24 udp'],
  ['{~,"IPv6Network":"x"}', /^IPv6Network: "x" must/],
  // Backend is kept as it came and read apart: the last one counts whole.
  ['{~,"Backend":null}', /^Backend\.Type: Backend is null and names none: name one of udp/],
  ['{~,"Backend":{}}', /^Backend\.Type: there is none/],
  ['{~,"Backend":"udp"}', /^Backend: "udp" must be an object/],
  ['{~,"Backend":[]}', /^Backend: a list must be an object/],
  ['{~,"Backend":{"Type":"udp","type":"vxlan"}}', '10.1.0.0/16 24 vxlan'],
  ['{~,"Backend":{"Type":null}}', /^Backend\.Type: there is none/],
  ['{~,"Backend":{"Type":"vxlan"},"backend":{"Port":1}}', /^Backend\.Type: there is none/],
  ['{~,"Backend":{"Type":"vxlan"},"Backend":null}', /^Backend\.Type: Backend is null/],
  ['{~,"Backend":{"Type":"udp","VNI":"x"}}', '10.1.0.0/16 24 udp'],
  // The text as a whole.
  ['{~} x', /^not JSON: line 1, column \d+: x after the value/],
  ['{~}}', /^not JSON: .*: } after the value/],
  ['{~,}', /^not JSON: .*} in place of a name/],
  ['\ufeff{~}', /^not JSON: line 1, column 1: \\ufeff in place of a value/],
  ['{~}\u0000', /^not JSON: .*\\u0000 after/],
  ['null', /^not a JSON object but null/],
  ['[]', /^not a JSON object but a list/],
];

function describeConfig(json: string): string {
  const parsed = parseNetworkConfig(json);
  if (!parsed.ok) return parsed.faults.join('\n');
  const { ipv4, backend } = parsed.config;
  assert.ok(ipv4 !== null);
  const options = JSON.stringify(backend.options);
  const words = [formatPrefix4(ipv4.network), ipv4.subnetLength, backend.type];
  return [...words, ...(options === '{}' ? [] : [options])].join(' ');
}

const LEASES: readonly [json: string, result: string | RegExp][] = [
  ['{"PublicIP":"192.0.2.7"}', '192.0.2.7'],
  ['{"PublicIP":null}', /^PublicIP: null is not/],
  ['{"PublicIP":""}', /^PublicIP: "" is not/],
  ['{"PublicIP":"::ffff:192.0.2.7"}', '192.0.2.7'],
  ['{"PublicIP":"::ffff:c000:207"}', '192.0.2.7'],
  ['{"PublicIP":"::192.0.2.7"}', /^PublicIP: /],
  ['{"PublicIP":"192.0.2.7","publicip":"192.0.2.8"}', '192.0.2.8'],
  ['{"PublicIP":"192.0.2.7","PublicIP":"x"}', /^PublicIP: "x" is not an IPv4 address/],
  ['{"PublicIP":"192.0.2.7","PublicIPv6":"192.0.2.9"}', '192.0.2.7 ::ffff:192.0.2.9'],
  ['{"PublicIP":"192.0.2.7","PublicIPv6":"::1","PublicIPv6":null}', '192.0.2.7'],
  ['{"PublicIP":"192.0.2.7","PublicIPv6":""}', /^PublicIPv6: "" is not/],
  ['{"PublicIP":"192.0.2.7","PublicIPv6":"fe80::1%eth0"}', /^PublicIPv6: /],
  ['{"PublicIP":"192.0.2.7","BackendType":null}', '192.0.2.7'],
  ['{"PublicIP":"192.0.2.7","BackendType":"vxlan","BackendType":null}', '192.0.2.7 vxlan'],
  ['{"PublicIP":"192.0.2.7","BackendType":"\\ud800"}', '192.0.2.7 \ufffd'],
  ['{"PublicIP":"192.0.2.7","BackendData":null}', '192.0.2.7 null'],
  ['{"PublicIP":"192.0.2.7","BackendData": { "a b" : 1 } }', '192.0.2.7 {"a b":1}'],
  ['{"PublicIP":"\\"192.0.2.7\\""}', /^PublicIP: /],
  ['{"PublicIP":{"a":1}}', /^PublicIP: an object is not/],
  ['{"PublicIP":["192.0.2.7"]}', /^PublicIP: a list is not/],
  [
    '{"PublicIP":7,"BackendType":["x"],"PublicIPv6":5}',
    /^PublicIP: 7 .*; BackendType: a list .*; PublicIPv6: 5 /,
  ],
  ['{}', '0.0.0.0'],
];

function describeLease(json: string): string {
  const parsed = parseLeaseValue(json);
  if (!parsed.ok) return parsed.reason;
  const { publicAddress, publicAddress6, backendType, backendData } = parsed.value;
  const words = [formatAddress4(publicAddress), backendType, backendData ?? ''];
  if (publicAddress6 !== undefined) words.push(formatAddress6(publicAddress6));
  return words.filter((word) => word !== '').join(' ');
}

const VTEPS: readonly [json: string, result: string | RegExp][] = [
  ['{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}', '0a:00:00:00:00:01'],
  ['{"vtepmac":"0a:00:00:00:00:01","VtepMAC":"0a:00:00:00:00:02"}', '0a:00:00:00:00:02'],
  ['{"VtepMAC":"0a:00:00:00:00:01","VtepMAC":null}', /VtepMAC: null is not/],
  ['{"VNI":"1","VtepMAC":"0a:00:00:00:00:01"}', /VNI: "1" must/],
  ['{"VNI":1}', /no VtepMAC/],
  ['"0a:00:00:00:00:01"', /not a JSON object but a text/],
];

function describeVtep(json: string): string {
  const read = readVtep(json);
  return read.ok ? read.macAddress : read.reason;
}

const TABLES = [
  ['network config', CONFIGS, describeConfig],
  ['lease value', LEASES, describeLease],
  ['BackendData', VTEPS, describeVtep],
] as const;

for (const [what, cases, read] of TABLES) {
  describe(`as Go reads it, a ${what}`, () => {
    for (const [short, result] of cases) {
      const json = short.replace('~', '"Network":"10.1.0.0/16"');
      test(`${JSON.stringify(short)}`, () => {
        if (typeof result === 'string') assert.equal(read(json), result);
        else assert.match(read(json), result);
      });
    }
  });
}
