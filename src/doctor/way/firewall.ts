import { CommandError } from '../../linux/command.ts';
import { type Link, listLinks } from '../../linux/link.ts';
import { parseAddress4 } from '../../wire/address.ts';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  noWeft,
  type Subject,
  unknown,
  wrong,
} from '../check.ts';
import { groupBy } from '../group.ts';
import { type Datagram, type Judgement, judge, type Rules } from '../rules/judge.ts';
import { readRules } from '../rules/read.ts';
import type { Chain } from '../rules/rule.ts';

type Way = Datagram['way'];

/** Whether the rules of this host let datagrams of peers in, and ours out. */
export const firewallCheck: Check = {
  name: 'firewall',
  look: async (subject) => {
    const { status, carrier } = subject;
    // Without one that answers, peers, port and interface are guesses, and so would be a verdict.
    if (status === null) return [noWeft()];
    if (carrier?.port === undefined) return [fine('this weft sends no datagrams of its own')];
    let rules: Rules;
    try {
      rules = await readRules(subject.run);
    } catch (error) {
      if (!(error instanceof CommandError || error instanceof SyntaxError)) throw error;
      const reason = error instanceof CommandError ? error.stderr : error.message;
      const finding = unknown(`the firewall cannot be read: ${reason}`, 'apt-get install nftables');
      return [/not permitted|denied/.test(reason) ? { ...finding, follows: ['rights'] } : finding];
    }
    const place = placeOf(subject, await listLinks(subject.run));
    return [...pass(subject, rules, place, 'in'), ...pass(subject, rules, place, 'out')];
  },
};

type Place = Pick<Datagram, 'device' | 'lowerDevices' | 'bridged'>;

/** The underlay's device, and what is below it: ports of a bridge or a bond, a VLAN's parent. */
function placeOf({ status }: Subject, links: readonly Link[]): Place {
  const device = status?.underlay?.name;
  const top = links.find(({ name }) => name === device);
  if (device === undefined || top === undefined) {
    return { device: undefined, lowerDevices: undefined, bridged: isBridged(links) };
  }
  const below = [top];
  for (const link of below) {
    const more = links.filter(
      ({ name, attached }) => name === link.parent || attached.master === link.name,
    );
    below.push(...more.filter((each) => !below.includes(each)));
  }
  return {
    // A port of something else hands its packets up under that one's name.
    device: top.attached.master === undefined ? device : undefined,
    lowerDevices: below.map(({ name }) => name),
    bridged: isBridged(below),
  };
}

const isBridged = (links: readonly Link[]): boolean => links.some(({ kind }) => kind === 'bridge');

/** Rulesets may be long and peers many: rules that are looked at for all of them together. */
const MOST_LOOKS = 4_000_000;

function pass(subject: Subject, rules: Rules, place: Place, way: Way): Finding[] {
  const port = subject.carrier!.port!;
  const sizes = rules.chains.reduce((sum, chain) => sum + chain.rules.length, 1);
  const most = Math.max(1, Math.floor(MOST_LOOKS / sizes));
  const all = [...new Set(subject.peers.map(({ publicAddress }) => publicAddress))];
  const peers = all.slice(0, most);
  const judged = (peers.length === 0 ? [undefined] : peers).map((peer) => ({
    peer,
    result: judge(rules, datagramOf(subject, place, way, peer)),
  }));
  const bad = judged.filter(({ result }) => result.verdict !== 'passes');
  if (bad.length > 0 && !(peers.length === 0 && bad[0]!.result.verdict === 'perhaps')) {
    return tell(port, way, bad);
  }
  const whom = peers.length === 0 ? 'as far as is known without a peer' : 'for every peer';
  const some = peers.length < all.length ? `for ${peers.length} of ${all.length} peers` : whom;
  return [fine(`UDP ${port} passes ${way} ${some}`)];
}

/** Where there is no peer yet, its address is one that is not known. */
function datagramOf(
  { status, carrier }: Subject,
  place: Place,
  way: Way,
  peer: string | undefined,
): Datagram {
  const [own, other] = [status?.underlay?.address, peer].map((text) => parseAddress4(text ?? ''));
  const [saddr, daddr] = way === 'in' ? [other, own] : [own, other];
  return { saddr, daddr, sport: undefined, dport: carrier!.port!, way, ...place };
}

interface Judged {
  readonly peer: string | undefined;
  readonly result: Judgement;
}

/** One finding a rule, however many peers it hits. */
function tell(port: number, way: Way, bad: readonly Judged[]): Finding[] {
  const byRule = groupBy(bad, ({ result }) => `${result.verdict} ${placed(result)} ${result.why}`);
  return [...byRule.values()].map((rows) => {
    const { result } = rows[0]!;
    const who = rows.length === 1 ? (rows[0]!.peer ?? 'any peer') : `${rows.length} peers`;
    const flow = `UDP ${port} ${way === 'in' ? 'from' : 'to'} ${who}`;
    const why = 'without it the overlay is dead in that direction';
    if (result.verdict === 'dropped') {
      const found = wrong(`${placed(result)} drops ${flow}`, why, admit(result.chain!, port));
      const peers = rows.flatMap((row) => (row.peer === undefined ? [] : [row.peer]));
      return { ...found, cause: 'firewall', ...(peers.length === 0 ? {} : { peers }) };
    }
    const what = `${placed(result)} may drop ${flow}: ${result.why}`;
    return doubtful(what, why, showing(result.chain));
  });
}

/** What decides, in words that its own program understands. */
function placed({ chain, rule }: Judgement): string {
  if (chain === undefined) return 'a rule of this host';
  const { tool, family, table, name } = chain;
  const where = tool === 'iptables-legacy' ? `${table} ${name} of ${tool}` : nameOf(chain);
  const what = rule ?? (chain.base?.drops ? 'policy drop' : 'the ruleset');
  return family === 'arp' ? `chain ${where}` : `${what} of chain ${where}`;
}

const nameOf = ({ family, table, name }: Chain): string => `${family} ${table} ${name}`;

/** Shows the rule; changes nothing. */
function showing(chain: Chain | undefined): string {
  if (chain === undefined) return 'nft -a list ruleset; iptables-save: does any of it drop it?';
  if (chain.tool === 'iptables-legacy') {
    return `iptables-legacy -t ${chain.table} -nvL ${chain.name} --line-numbers shows it`;
  }
  return `nft -a list chain ${nameOf(chain)} shows it`;
}

/** Lets the port in or out in that chain, and takes nothing from anybody. */
function admit(chain: Chain, port: number): string {
  const { tool, table, name } = chain;
  const options = `-t ${table} -I ${name} -p udp --dport ${port} -j ACCEPT`;
  const command =
    tool === 'nft'
      ? `nft insert rule ${nameOf(chain)} udp dport ${port} accept`
      : `${tool === 'iptables-nft' ? 'iptables' : tool} ${options}`;
  return `${command}, and the same where your rules are kept; ${showing(chain)}`;
}
