import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import type { Namespace } from '../../linux/namespace.ts';
import { type Background, run } from '../../support/process.ts';
import { inside } from '../../support/topology.ts';
import { waitFor } from '../../support/waitfor.ts';
import { buildSite, type Kept, keep, nft, type Site, WISH } from './site.ts';
import { GROUP, PORT, sightings, startCrowd, startWitness } from './source-witness.ts';

describe('the rules, packet by packet', () => {
  let site: Site;
  let kept: Kept;
  let witnesses: Background[];
  let number = 0;

  before(async () => {
    site = buildSite();
    // Foreign rules set marks as kube-proxy does, with a bit of somebody else's beside its own.
    nft(site.node, 'add table ip foreign');
    nft(site.node, 'add chain ip foreign early { type filter hook prerouting priority mangle; }');
    nft(site.node, `add rule ip foreign early udp sport 7001 meta mark set 0x4001`);
    nft(site.node, `add rule ip foreign early udp sport 7002 meta mark set 0x8001`);
    // Multicast leaves by the device of its source address (ip(7)), so that is an address of `wan`.
    site.node.ip('addr add 10.244.9.9/32 dev wan\n');
    kept = keep(site.node);
    await kept.firewall.look();
    const spaces = [site.pod, site.remote, site.outside];
    const group = (space: Namespace) => (space === site.outside ? '192.0.2.9' : undefined);
    witnesses = await Promise.all(spaces.map((space) => startWitness(space.name, group(space))));
  });

  after(async () => {
    await kept?.firewall.stop();
    for (const witness of witnesses ?? []) await witness.stop('SIGKILL');
    site.remove();
  });

  /** Sends one datagram and returns the source that whoever got it saw. */
  async function sourceSeen(from: Namespace, to: string, bind: string): Promise<string> {
    const text = `text-${number++}`;
    const target = `UDP-SENDTO:${to}:${PORT},${bind}`;
    run(inside(from.name, ['socat', '-u', '-', target]), { input: text });
    return await waitFor(`a sighting of ${text}`, () => {
      const found = witnesses.flatMap(sightings).find((row) => row[0] === text);
      return found?.[1];
    });
  }

  const POD = 'bind=10.244.1.2';
  const cases: [string, () => Namespace, string, string, string][] = [
    ['pod to outside: as the node', () => site.pod, '192.0.2.9', POD, '192.0.2.1'],
    ['pod to a pod elsewhere: as itself', () => site.pod, '10.244.2.2', POD, '10.244.1.2'],
    ['pod elsewhere to pod: as itself', () => site.remote, '10.244.1.2', 'ttl=9', '10.244.2.2'],
    ['pod elsewhere to outside: as the node', () => site.remote, '192.0.2.9', 'ttl=9', '192.0.2.1'],
    ['outside to pod: as itself', () => site.outside, '10.244.1.2', 'ttl=9', '192.0.2.9'],
    ['outside to a pod elsewhere', () => site.outside, '10.244.2.2', 'ttl=9', '10.244.1.0'],
    ['host to a pod elsewhere', () => site.node, '10.244.2.2', 'bind=192.0.2.1', '10.244.1.0'],
    ['host to its pod: as itself', () => site.node, '10.244.1.2', 'bind=192.0.2.1', '192.0.2.1'],
    ['overlay to multicast: as itself', () => site.node, GROUP, 'bind=10.244.9.9', '10.244.9.9'],
    ["pod with kube-proxy's mark", () => site.pod, '192.0.2.9', `${POD}:7001`, '10.244.1.2'],
    ['pod with another mark', () => site.pod, '192.0.2.9', `${POD}:7002`, '192.0.2.1'],
  ];
  for (const [what, from, to, bind, source] of cases) {
    test(what, async () => assert.equal(await sourceSeen(from(), to, bind), source));
  }

  test('without --ip-masq pods keep their address', async () => {
    await kept.firewall.update({ ...WISH, masquerade: false });
    assert.equal(await sourceSeen(site.pod, '192.0.2.9', 'bind=10.244.1.2'), '10.244.1.2');
    await kept.firewall.update(WISH);
    assert.equal(await sourceSeen(site.pod, '192.0.2.9', 'bind=10.244.1.2'), '192.0.2.1');
  });
});

describe('a restart', () => {
  test('leaves no moment without rules, whether they change or not', async () => {
    const site = buildSite();
    const witness = await startWitness(site.outside.name);
    try {
      const first = keep(site.node);
      await first.firewall.look();
      await first.firewall.stop();
      const crowd = await startCrowd(site.pod.name, '192.0.2.9');
      await waitFor('traffic', () => sightings(witness).length > 0);
      let transactions = 0;
      for (let round = 0; round < 60; round++) {
        // Each second restart has other rules than the one before.
        const wish = { ...WISH, fullyRandom: (round & 2) === 0 };
        const { firewall } = keep(site.node, { wish });
        await firewall.look();
        transactions += firewall.status().transactions;
        await firewall.stop();
      }
      assert.equal(transactions, 29);
      crowd.endInput();
      await crowd.wait();
      const sent = Number(/^sent (\d+)$/m.exec(crowd.stdout)?.[1]);
      assert.ok(sent > 100, `only ${sent} flows`);
      const seen = await waitFor('every flow at the witness', () => {
        const rows = sightings(witness);
        return rows.length >= sent ? rows : undefined;
      });
      const bare = seen.filter((row) => row[1] !== '192.0.2.1');
      assert.deepEqual(bare, [], `${bare.length} of ${sent} flows went out unmasqueraded`);
    } finally {
      await witness.stop('SIGKILL');
      site.remove();
    }
  });
});
