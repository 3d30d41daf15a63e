/** The reading of rulesets, on what nft itself prints for them. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { type Datagram, judge } from '../../../src/doctor/rules/judge.ts';
import { readRules } from '../../../src/doctor/rules/read.ts';
import { CommandError, type Run } from '../../../src/linux/command.ts';
import { parseAddress4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { run } from '../../support/process.ts';

const DATAGRAM: Datagram = {
  saddr: parseAddress4('192.0.2.2'),
  daddr: parseAddress4('192.0.2.1'),
  sport: undefined,
  dport: 8285,
  way: 'in',
  device: 'eth0',
  lowerDevices: ['eth0'],
  bridged: false,
};

describe('judging a ruleset', () => {
  let space: Namespace;
  before(() => {
    space = createNamespace();
  });
  after(() => space.remove());

  /** Loads the ruleset into a kernel, reads it back, and judges the datagram by it. */
  async function verdict(ruleset: string): Promise<string> {
    const inside = (...argv: string[]) => ['ip', 'netns', 'exec', space.name, ...argv];
    run(inside('nft', '-f', '-'), { input: `flush ruleset\n${ruleset}\n` });
    return judge(await readRules(space.run), DATAGRAM).verdict;
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
    ['replies let in', chain('ct state established,related accept', 'drop'), 'perhaps'],
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
    ['a mark that nobody set', chain('meta mark 7 drop'), 'passes'],
    ['an accept after a perhaps', chain('ip ttl 7 drop\n udp dport 8285 accept'), 'perhaps'],
    ['only IPv6 dropped', chain('meta nfproto ipv6 drop'), 'passes'],
    [
      'a table of IPv6',
      'table ip6 t {\n chain in {\n type filter hook input priority 0; policy drop;\n }\n }',
      'passes',
    ],
  ];
  const ingress = (device: string, rule: string) => `table netdev d {
    chain c {
      type filter hook ingress device "${device}" priority 0;
      ${rule}
    }
  }`;
  const sub = 'chain sub { ip saddr 10.0.0.1 accept; }';

  cases.push(
    ['a continue goes on to the next statement', chain('udp dport 8285 continue drop'), 'dropped'],
    ['in a map, too', chain('udp dport vmap { 8285 : continue } drop'), 'dropped'],
    ['a map of verdicts that drops', chain('udp dport vmap { 8285 : drop }'), 'dropped'],
    ['one that accepts', chain('udp dport vmap { 8285 : accept }', 'drop'), 'passes'],
    ['one for other ports', chain('udp dport vmap { 53 : accept }', 'drop'), 'dropped'],
    ['one for all others', chain('udp dport vmap { 53 : drop, * : accept }', 'drop'), 'passes'],
    ['a goto does not come back', chain('goto sub\n udp dport 8285 drop', 'accept', sub), 'passes'],
    ['a jump does', chain('jump sub\n udp dport 8285 drop', 'accept', sub), 'dropped'],
    [
      'a transparent proxy',
      chain('meta l4proto udp tproxy ip to :99').replace('input', 'prerouting'),
      'perhaps',
    ],
    ['a drop at the device', ingress('eth0', 'udp dport 8285 drop'), 'dropped'],
    ['a drop at another device', ingress('lo', 'udp dport 8285 drop'), 'passes'],
    ['forwarded at the device', ingress('eth0', 'udp dport 8285 fwd to "lo"'), 'perhaps'],
    [
      'a set that rules write to',
      chain(
        'add @seen { ip saddr }\n ip saddr @seen drop',
        'accept',
        'set seen { type ipv4_addr; size 9; flags dynamic; }',
      ),
      'perhaps',
    ],
    [
      'an accept in one table, a drop in another',
      `${chain('accept')}\n${chain('drop').replace('inet t', 'ip u')}`,
      'dropped',
    ],
    [
      'a port translated away',
      `table ip n {\n chain c {\n type nat hook prerouting priority -100
        meta l4proto udp redirect to :99\n }\n }`,
      'perhaps',
    ],
    [
      'a rule on ARP',
      'table arp a {\n chain c {\n type filter hook input priority 0; policy drop;\n }\n }',
      'perhaps',
    ],
    [
      'not tracked, and let in by state alone',
      `${chain('ct state new,established accept', 'drop')}
      table ip r {\n chain c {\n type filter hook prerouting priority raw
        udp dport 8285 notrack\n }\n }`,
      'dropped',
    ],
  );
  for (const [what, ruleset, expected] of cases) {
    test(`${what}: ${expected}`, async () => {
      assert.equal(await verdict(ruleset), expected);
    });
  }

  test('iptables beside nft, and its legacy form', async () => {
    const inside = (...argv: string[]) => run(['ip', 'netns', 'exec', space.name, ...argv]);
    const ask = async () => judge(await readRules(space.run), DATAGRAM);
    inside('nft', 'flush', 'ruleset');
    const rule = ['-p', 'udp', '-m', 'conntrack', '--ctstate', 'NEW,ESTABLISHED', '-j', 'DROP'];
    inside('iptables-nft', '-A', 'INPUT', ...rule);
    const { verdict: first, chain: shown, rule: handle } = await ask();
    assert.deepEqual([first, shown?.tool, shown?.name], ['dropped', 'iptables-nft', 'INPUT']);
    assert.match(`${handle}`, /^handle \d+$/);
    inside('iptables-nft', '-F', 'INPUT');
    inside('iptables-legacy', '-P', 'INPUT', 'DROP');
    const legacy = await ask();
    assert.deepEqual([legacy.verdict, legacy.chain?.tool], ['dropped', 'iptables-legacy']);
    inside('iptables-legacy', '-A', 'INPUT', '-p', 'udp', '--dport', '8285', '-j', 'ACCEPT');
    assert.equal((await ask()).verdict, 'passes');
  });

  /** What this kernel may not take, in nft's words (src/json.c), behind an accepting policy. */
  test('statements that nobody here knows make it a perhaps', async () => {
    const strange = [
      { queue: { num: 1 } },
      { queue: null },
      { flow: { op: 'add', flowtable: '@f' } },
      { synproxy: null },
      { 'of tomorrow': {} },
      { match: { op: '==', left: { 'of tomorrow': {} }, right: 1 } },
      { match: { op: '~', left: { meta: { key: 'l4proto' } }, right: 'udp' } },
      { vmap: { key: { payload: { protocol: 'udp', field: 'dport' } }, data: '@nowhere' } },
      { xt: { type: 'target', name: 'OFTOMORROW' } },
      { xt: null },
      { jump: { target: 'nowhere' } },
    ];
    const names = { family: 'ip', table: 't' };
    for (const statement of strange) {
      const base = { type: 'filter', hook: 'input', prio: 0, policy: 'accept' };
      const nftables = [
        { chain: { ...names, name: 'c', ...base } },
        { rule: { ...names, chain: 'c', handle: 2, expr: [statement, { drop: null }] } },
      ];
      const fake: Run = async ([program = '']) => {
        if (program === 'nft') return JSON.stringify({ nftables });
        throw new CommandError([program], 'not here');
      };
      const { verdict, rule } = judge(await readRules(fake), DATAGRAM);
      assert.deepEqual([verdict, rule], ['perhaps', 'handle 2'], JSON.stringify(statement));
    }
  });
});
