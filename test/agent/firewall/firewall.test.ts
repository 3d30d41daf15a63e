import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { differences } from '../../../src/agent/firewall/compare.ts';
import type { FirewallOptions } from '../../../src/agent/firewall/firewall.ts';
import { desiredRuleset, FAMILY, TABLE } from '../../../src/agent/firewall/ruleset.ts';
import { CommandError, commandRunner } from '../../../src/linux/command.ts';
import { listTable } from '../../../src/linux/nft.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { run } from '../../support/process.ts';
import { waitFor } from '../../support/waitfor.ts';
import { type Kept, keep, nft, prefix, WISH } from './site.ts';

let space: Namespace;
let all: Kept[];

async function started(rest: Partial<FirewallOptions> = {}): Promise<Kept> {
  const kept = keep(space, rest);
  all.push(kept);
  await kept.firewall.look();
  return kept;
}

const faults = async (wish = WISH) =>
  differences(desiredRuleset(wish), await listTable(space.run, FAMILY, TABLE));

beforeEach(() => {
  space = createNamespace();
  all = [];
});

afterEach(async () => {
  for (const { firewall } of all) await firewall.stop();
  assert.equal(run(['ip', 'netns', 'pids', space.name]), '');
  space.remove();
});

describe('the firewall', () => {
  test('sets its table once, and a look without a change makes no transaction', async () => {
    const { firewall, info, causes } = await started();
    assert.deepEqual(await faults(), []);
    const before = nft(space, '-a', 'list', 'ruleset');
    await firewall.look();
    await firewall.look();
    assert.equal(nft(space, '-a', 'list', 'ruleset'), before);
    const { looks, ...rest } = firewall.status();
    assert.ok(looks >= 3);
    assert.deepEqual(rest, { inForce: true, trouble: '', transactions: 1, repairs: 0 });
    assert.deepEqual(info, [
      'firewall: set rules masquerade fully-random and forward for 10.244.1.0/24 of ' +
        '10.244.0.0/16 in table ip flannel-ipv4',
    ]);
    assert.equal(causes.size, 0);
  });

  test('started again finds its rules and leaves them alone', async () => {
    await (await started()).firewall.stop();
    const again = await started();
    assert.equal(again.firewall.status().transactions, 0);
    assert.match(again.info.join(), /^firewall: found rules masquerade/);
  });

  const damage: [string, string[][], RegExp][] = [
    ['the table', [['delete', 'table', 'ip', TABLE]], /table was gone/],
    ['everything', [['flush', 'ruleset']], /table was gone/],
    ['rules', [['flush', 'chain', 'ip', TABLE, 'postrtg']], /lacked 'our pods/],
    [
      'a chain',
      [
        ['flush', 'chain', 'ip', TABLE, 'forward'],
        ['delete', 'chain', 'ip', TABLE, 'forward'],
      ],
      /chain forward was gone|lacked/,
    ],
  ];
  for (const [what, commands, said] of damage) {
    test(`restores ${what} soon after somebody deleted it`, async () => {
      const { firewall, warnings } = await started();
      // The monitor listens once it has told of a table of that name in another family.
      const { looks } = firewall.status();
      await waitFor('a look', () => {
        nft(space, `add table ip6 ${TABLE}; delete table ip6 ${TABLE}`);
        return firewall.status().looks > looks;
      });
      for (const command of commands) nft(space, ...command);
      await waitFor('the repair', () => firewall.status().repairs > 0);
      await waitFor('the rules', async () => (await faults()).length === 0);
      assert.match(warnings.join(), said);
    });
  }

  const additions: [string, string[]][] = [
    ['a rule', ['insert', 'rule', 'ip', TABLE, 'postrtg', 'masquerade']],
    ['a chain', ['add', 'chain', 'ip', TABLE, 'extra']],
    ['sleep', ['add', 'table', 'ip', TABLE, '{ flags dormant; }']],
  ];
  for (const [what, command] of additions) {
    test(`finds ${what} that somebody added at its next look`, async () => {
      const { firewall } = await started({ resyncSeconds: 1 });
      nft(space, ...command);
      assert.notDeepEqual(await faults(), []);
      await waitFor('the repair', () => firewall.status().repairs > 0);
      assert.deepEqual(await faults(), []);
    });
  }

  test('clears rules of a previous network, and takes all away where none are wanted', async () => {
    const old = { ...WISH, network: prefix('10.9.0.0/16'), subnet: prefix('10.9.3.0/24') };
    await (await started({ wish: old })).firewall.stop();
    const { firewall } = await started();
    assert.deepEqual(await faults(), []);
    assert.doesNotMatch(nft(space, 'list', 'ruleset'), /10\.9\./);
    await firewall.update({ ...WISH, masquerade: false, forwardRules: false });
    assert.equal(nft(space, 'list', 'ruleset'), '');
  });

  test('leaves foreign tables as they are', async () => {
    nft(space, 'add', 'table', 'inet', TABLE);
    nft(space, 'add', 'table', 'ip', 'docker');
    nft(space, 'add', 'chain', 'ip', 'docker', 'nat', '{ type nat hook postrouting priority 90; }');
    nft(space, 'add', 'rule', 'ip', 'docker', 'nat', 'ip', 'saddr', '172.17.0.0/16', 'masquerade');
    const foreign = () =>
      nft(space, '-a', 'list', 'table', 'ip', 'docker') +
      nft(space, 'list', 'table', 'inet', TABLE);
    const before = foreign();
    const { firewall } = await started();
    await firewall.update({ ...WISH, fullyRandom: false });
    await firewall.update({ ...WISH, masquerade: false, forwardRules: false });
    assert.equal(foreign(), before);
  });

  test('needs nothing of root but CAP_NET_ADMIN, and says so without', async () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const enter = ['ip', 'netns', 'exec', space.name];
    const bare = await started({ run: commandRunner([...enter, ...nobody]) });
    assert.match(bare.firewall.status().trouble, /run weft with CAP_NET_ADMIN/);
    const capable = [...nobody, '--inh-caps=+net_admin', '--ambient-caps=+net_admin'];
    const { firewall } = await started({ run: commandRunner([...enter, ...capable]) });
    assert.equal(firewall.status().trouble, '');
    assert.deepEqual(await faults(), []);
  });

  test('says why the node is not ready while nft fails, and gets over it', async () => {
    let broken = true;
    const reason = 'Error: Could not process rule: Operation not permitted';
    const { firewall, causes, warnings } = await started({
      run: (argv) => (broken ? Promise.reject(new CommandError(argv, reason)) : space.run(argv)),
    });
    await firewall.look();
    assert.match(causes.get('firewall') ?? '', /run weft with CAP_NET_ADMIN/);
    assert.equal(warnings.length, 1);
    assert.equal(firewall.status().inForce, false);
    broken = false;
    await firewall.look();
    assert.equal(causes.size, 0);
    assert.deepEqual(await faults(), []);
  });

  test('takes a listing in unknown words as it is, the second time', async () => {
    const strange = async (argv: readonly string[]) => {
      const text = await space.run(argv);
      return text.replaceAll('"return": null', '"verdict": "return"');
    };
    const { firewall, warnings } = await started({ run: strange });
    for (let looks = 0; looks < 3; looks++) await firewall.look();
    assert.equal(firewall.status().transactions, 2);
    assert.match(warnings.join(), /in words unknown to weft/);
    nft(space, 'flush', 'chain', 'ip', TABLE, 'forward');
    await firewall.look();
    assert.deepEqual(await faults(), []);
  });

  test('does not take for its own what somebody set in the same moment', async () => {
    let meddled = false;
    const { firewall, warnings } = await started({
      run: async (argv) => {
        const answer = await space.run(argv);
        // Right behind our transaction: one rule is set anew with another meaning.
        if (argv.includes('--echo') && !meddled) {
          meddled = true;
          const listing = nft(space, '-a', 'list', 'chain', 'ip', TABLE, 'forward');
          const handle = /accept .*handle (\d+)/.exec(listing)![1]!;
          nft(space, `replace rule ip ${TABLE} forward handle ${handle} drop comment "from us"`);
        }
        return answer;
      },
    });
    await firewall.look();
    assert.ok(meddled);
    assert.deepEqual(await faults(), []);
    assert.match(warnings.join(), /restored table ip flannel-ipv4: chain forward lacked/);
  });

  test('does not quarrel with another agent for ever', async () => {
    const one = await started();
    const other = await started({ wish: { ...WISH, fullyRandom: false } });
    await waitFor('the truce', async () => {
      // Either may have missed a change of the other's while its monitor was not listening yet.
      for (const { firewall } of [one, other]) await firewall.look();
      const sides = [one, other].map(({ firewall }) => firewall.status().trouble);
      return sides.some((trouble) => /somebody else keeps setting/.test(trouble));
    });
    const quiet = [one, other].find(({ firewall }) => firewall.status().trouble !== '')!;
    assert.equal(quiet.warnings.filter((line) => /restored table/.test(line)).length, 5);
    assert.match(quiet.warnings.at(-1)!, /another weft, or flanneld/);
  });
});

describe("what flannel's iptables mode left", () => {
  const iptables = (...args: string[]) =>
    run(['ip', 'netns', 'exec', space.name, 'iptables-nft', ...args]);
  const comment = (text: string) => ['-m', 'comment', '--comment', text];

  beforeEach(() => {
    const nat = (...args: string[]) => iptables('-t', 'nat', ...args);
    nat('-A', 'POSTROUTING', '-s', '172.17.0.0/16', '-j', 'MASQUERADE');
    nat('-N', 'FLANNEL-POSTRTG');
    nat('-A', 'POSTROUTING', ...comment('flanneld masq'), '-j', 'FLANNEL-POSTRTG');
    nat('-A', 'FLANNEL-POSTRTG', '-s', '10.9.0.0/16', '-j', 'MASQUERADE', '--random-fully');
    iptables('-P', 'FORWARD', 'DROP');
    iptables('-N', 'FLANNEL-FWD');
    iptables('-A', 'FORWARD', ...comment('flanneld forward'), '-j', 'FLANNEL-FWD');
    iptables('-A', 'FLANNEL-FWD', '-s', '10.9.0.0/16', '-j', 'ACCEPT');
  });

  test('masquerades no more; what accepts stays, and the operator hears of both', async () => {
    const { info, warnings } = await started();
    assert.match(info.join('\n'), /removed chain FLANNEL-POSTRTG of table ip nat/);
    const nat = iptables('-t', 'nat', '-S');
    assert.doesNotMatch(nat, /FLANNEL/);
    assert.match(nat, /-A POSTROUTING -s 172\.17\.0\.0\/16 -j MASQUERADE/);
    assert.match(iptables('-S'), /-A FLANNEL-FWD -s 10\.9\.0\.0\/16 -j ACCEPT/);
    const [left, drops] = warnings;
    assert.match(left!, /FLANNEL-FWD of table ip filter is left/);
    assert.match(drops!, /chain FORWARD of table ip filter drops what it does not accept/);
    assert.equal(warnings.length, 2);
  });

  test('goes and is lifted by the commands in these lines', async () => {
    const { warnings } = await started();
    for (const line of warnings) {
      const script = line.slice(line.lastIndexOf(': ') + 2);
      run(['ip', 'netns', 'exec', space.name, 'sh', '-ec', script]);
    }
    const filter = iptables('-S');
    assert.doesNotMatch(filter, /FLANNEL/);
    assert.match(filter, /-A FORWARD -s 10\.244\.0\.0\/16 -j ACCEPT/);
    assert.match(filter, /-A FORWARD -d 10\.244\.0\.0\/16 -j ACCEPT/);
  });
});
