/** The reading of rulesets, on what nft itself prints for them. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { type Datagram, judge, readRuleset } from '../../src/doctor/ruleset.ts';
import { createNamespace, type Namespace } from '../linux/namespace.ts';
import { run } from '../support/process.ts';

const DATAGRAM: Datagram = {
  saddr: '192.0.2.2',
  daddr: '192.0.2.1',
  dport: 8285,
  iifname: 'eth0',
  oifname: undefined,
};

describe('judging a ruleset', () => {
  let space: Namespace;
  before(() => {
    space = createNamespace();
  });
  after(() => space.remove());

  /** Loads the ruleset into a kernel, reads it back, and judges the datagram by it. */
  function verdict(ruleset: string): string {
    const inside = (...argv: string[]) => ['ip', 'netns', 'exec', space.name, ...argv];
    run(inside('nft', '-f', '-'), { input: `flush ruleset\n${ruleset}\n` });
    const text = run(inside('nft', '-j', 'list', 'ruleset'));
    return judge(readRuleset(text), 'input', DATAGRAM).verdict;
  }

  const chain = (rules: string, policy = 'accept', more = '') => `table inet t {
    ${more}
    chain in {
      type filter hook input priority 0; policy ${policy};
      ${rules}
    }
  }`;

  const cases: [string, string, string][] = [
    ['nothing', '', 'passes'],
    ['an open policy', chain(''), 'passes'],
    ['a closed policy', chain('', 'drop'), 'dropped'],
    ['the port dropped', chain('udp dport 8285 drop'), 'dropped'],
    ['the port rejected', chain('udp dport 8285 reject'), 'dropped'],
    ['another port dropped', chain('udp dport 53 drop'), 'passes'],
    ['tcp to that port dropped', chain('tcp dport 8285 drop'), 'passes'],
    ['a range that holds the port', chain('udp dport 8000-9000 drop'), 'dropped'],
    ['a set that holds the port', chain('udp dport { 53, 8285 } drop'), 'dropped'],
    ['a set that does not', chain('udp dport { 53, 123 } drop'), 'passes'],
    ['all but the port dropped', chain('udp dport != 8285 drop'), 'passes'],
    ['the peer let in', chain('udp dport 8285 ip saddr 192.0.2.2 accept', 'drop'), 'passes'],
    ['its prefix let in', chain('ip saddr 192.0.2.0/24 accept', 'drop'), 'passes'],
    ['another prefix let in', chain('ip saddr 198.51.100.0/24 accept', 'drop'), 'dropped'],
    [
      'a named set that holds the peer',
      chain('ip saddr @p accept', 'drop', 'set p { type ipv4_addr; elements = { 192.0.2.2 } }'),
      'passes',
    ],
    [
      'a named set with an interval',
      chain(
        'ip saddr @p accept',
        'drop',
        'set p { type ipv4_addr; flags interval; elements = { 192.0.2.0/25 } }',
      ),
      'passes',
    ],
    ['the interface let in', chain('iifname "eth*" accept', 'drop'), 'passes'],
    ['another interface let in', chain('iifname "lo" accept', 'drop'), 'dropped'],
    ['replies let in', chain('ct state established,related accept', 'drop'), 'dropped'],
    ['new flows let in', chain('ct state { new, established } accept', 'drop'), 'passes'],
    ['a counter and a log before the drop', chain('counter log udp dport 8285 drop'), 'dropped'],
    [
      'a jump to a chain that drops',
      chain('jump sub', 'accept', 'chain sub { udp dport 8285 drop; }'),
      'dropped',
    ],
    [
      'a jump that comes back',
      chain('jump sub\n udp dport 8285 drop', 'accept', 'chain sub { udp dport 8285 return; }'),
      'dropped',
    ],
    ['a limit before the accept', chain('limit rate 10/second accept', 'drop'), 'perhaps'],
    ['a mark that decides', chain('meta mark 7 drop'), 'perhaps'],
    ['an accept after a perhaps', chain('meta mark 7 drop\n udp dport 8285 accept'), 'perhaps'],
    ['only IPv6 dropped', chain('meta nfproto ipv6 drop'), 'passes'],
    [
      'a table of IPv6',
      'table ip6 t {\n chain in {\n type filter hook input priority 0; policy drop;\n }\n }',
      'passes',
    ],
  ];
  for (const [what, ruleset, expected] of cases) {
    test(`${what}: ${expected}`, () => {
      assert.equal(verdict(ruleset), expected);
    });
  }
});
