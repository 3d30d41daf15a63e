import { CommandError } from '../../linux/command.ts';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  type Subject,
  unknown,
  wrong,
} from '../check.ts';
import { groupBy } from '../group.ts';
import { type Datagram, type Judgement, judge, type Ruleset, readRuleset } from '../ruleset.ts';

/** Whether the rules of this host let datagrams of peers in, and ours out. */
export const firewallCheck: Check = {
  name: 'firewall',
  look: async (subject) => {
    let ruleset: Ruleset;
    try {
      ruleset = readRuleset(await subject.run(['nft', '-j', 'list', 'ruleset']));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const cure = 'apt-get install nftables, and run as root';
      return [unknown(`the firewall cannot be read: ${error.stderr}`, cure)];
    }
    const inwards = ways(subject, ruleset, ['prerouting', 'input'], 'in');
    return [...inwards, ...ways(subject, ruleset, ['output', 'postrouting'], 'out')];
  },
};

/** Where there is no peer yet, an address of nobody (RFC 5737) stands for all. */
const NOBODY = '203.0.113.1';

function ways(
  subject: Subject,
  ruleset: Ruleset,
  hooks: readonly string[],
  way: 'in' | 'out',
): Finding[] {
  const own = subject.status?.underlay?.address ?? NOBODY;
  const device = subject.status?.underlay?.name;
  const peers = subject.peers.map(({ publicAddress }) => publicAddress);
  const judged = (peers.length === 0 ? [NOBODY] : peers).map((peer) => {
    const datagram: Datagram = {
      saddr: way === 'in' ? peer : own,
      daddr: way === 'in' ? own : peer,
      dport: subject.port,
      iifname: way === 'in' ? device : undefined,
      oifname: way === 'out' ? device : undefined,
    };
    const results = hooks.map((hook) => judge(ruleset, hook, datagram));
    return { peer, result: worst(results) };
  });
  const bad = judged.filter(({ result }) => result.verdict !== 'passes');
  if (bad.length === 0) return [fine(`UDP ${subject.port} passes ${way} for every peer`)];
  return tell(subject, way, bad);
}

const worst = (results: readonly Judgement[]): Judgement =>
  results.find(({ verdict }) => verdict === 'dropped') ??
  results.find(({ verdict }) => verdict === 'perhaps') ??
  results[0]!;

/** One finding a rule, however many peers it hits. */
function tell(
  { port }: Subject,
  way: 'in' | 'out',
  bad: readonly { readonly peer: string; readonly result: Judgement }[],
): Finding[] {
  const byRule = groupBy(bad, ({ result }) => `${result.verdict} ${result.rule}`);
  return [...byRule.values()].map((rows) => {
    const { verdict, rule } = rows[0]!.result;
    const who = rows.length === 1 ? rows[0]!.peer : `${rows.length} peers`;
    const direction = way === 'in' ? `from ${who}` : `to ${who}`;
    const chain = /chain (\S+ \S+ \S+)/.exec(rule)?.[1] ?? '';
    const cure = `nft insert rule ${chain} udp dport ${port} accept; weft doctor --emit-nft`;
    const why = 'without it the overlay is dead in that direction';
    if (verdict === 'dropped') return wrong(`${rule} drops UDP ${port} ${direction}`, why, cure);
    const what = `${rule} may drop UDP ${port} ${direction}: not all of it is understood here`;
    return doubtful(what, why, `nft -a list chain ${chain}`);
  });
}
