/** What the doctor says of a ruleset beside what the kernel does with a real datagram. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { type Datagram, judge } from '../../src/doctor/rules/judge.ts';
import { readRules } from '../../src/doctor/rules/read.ts';
import { parseAddress4 } from '../../src/wire/address.ts';
import {
  buildFirewallRig,
  type FirewallRig,
  FROM,
  PORT,
  type Ruleset,
  TO,
} from '../support/firewall-rig.ts';
import { withSeedAsync } from '../support/random.ts';
import { randomRuleset } from '../support/random-rules.ts';

const CASES = 150;
/** Of all rulesets; whoever says perhaps to everything is never wrong. */
const MOST_PERHAPS = 0.3;

describe('a verdict on a ruleset beside the truth', () => {
  let rig: FirewallRig;
  before(async () => {
    rig = await buildFirewallRig();
  });
  after(() => rig.close());

  /** A port each, so that each is the first of its flow. */
  let sourcePort = 20_000;

  async function verdictAndTruth(way: 'in' | 'out', ruleset: Ruleset) {
    const space = way === 'in' ? rig.receiver : rig.sender;
    // Not every rule that can be written makes sense to nft.
    if (rig.load(space, ruleset) !== '') return 'refused';
    sourcePort += 1;
    const datagram: Datagram = {
      saddr: parseAddress4(FROM),
      daddr: parseAddress4(TO),
      sport: sourcePort,
      dport: PORT,
      way,
      device: 'eth0',
      lowerDevices: ['eth0'],
      bridged: false,
    };
    const judged = judge(await readRules(space.run), datagram);
    const arrived = await rig.arrives(sourcePort);
    rig.load(space, { nft: '', iptables: '', legacy: '' });
    const contradicts = judged.verdict === (arrived ? 'dropped' : 'passes');
    const { chain, ...rest } = judged;
    const told = `said ${JSON.stringify({ ...rest, chain: chain?.name })}, arrived: ${arrived}`;
    const text = `${ruleset.nft}${ruleset.iptables}${ruleset.legacy}`;
    assert.ok(!contradicts, `${told}\n${text}`);
    return judged.verdict;
  }

  for (const way of ['in', 'out'] as const) {
    test(`${CASES} rulesets at random, ${way}`, (context) =>
      withSeedAsync(async (random) => {
        const counts = { passes: 0, dropped: 0, perhaps: 0, refused: 0 };
        while (counts.passes + counts.dropped + counts.perhaps < CASES) {
          counts[await verdictAndTruth(way, randomRuleset(random, way))] += 1;
          assert.ok(counts.refused < CASES, JSON.stringify(counts));
        }
        context.diagnostic(JSON.stringify(counts));
        assert.ok(counts.perhaps < MOST_PERHAPS * CASES, JSON.stringify(counts));
        for (const verdict of ['passes', 'dropped'] as const) {
          assert.ok(counts[verdict] > CASES / 10, JSON.stringify(counts));
        }
      }));
  }
});
