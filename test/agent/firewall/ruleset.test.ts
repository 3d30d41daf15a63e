import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import fc from 'fast-check';
import { differences, sameHandles } from '../../../src/agent/firewall/compare.ts';
import {
  desiredRuleset,
  FAMILY,
  type FirewallWish,
  type Rule,
  replaceTable,
  TABLE,
} from '../../../src/agent/firewall/ruleset.ts';
import { changeNft, listTable, type NftEntry } from '../../../src/linux/nft.ts';
import { contains, maskOf, parsePrefix4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { runSeed } from '../../support/random.ts';
import { WISH } from './site.ts';

const address = fc.nat(0xffffffff);
const anyWish: fc.Arbitrary<FirewallWish> = fc
  .record({
    at: address,
    length: fc.integer({ min: 1, max: 28 }),
    more: fc.integer({ min: 2, max: 16 }),
    masquerade: fc.boolean(),
    fullyRandom: fc.boolean(),
    forwardRules: fc.boolean(),
    notrack: fc.option(fc.record({ address, port: fc.integer({ min: 1, max: 0xffff }) })),
  })
  .map(({ at, length, more, ...switches }) => {
    const inner = Math.min(length + more, 32);
    const network = { network: (at & maskOf(length)) >>> 0, length };
    return { network, subnet: { network: (at & maskOf(inner)) >>> 0, length: inner }, ...switches };
  });

/** A packet as these rules see it; addresses are near a wish's prefixes as often as not. */
const anyPacket = (wish: FirewallWish) => {
  const near = fc.oneof(
    address,
    fc.nat(0xff).map((low) => (wish.subnet.network ^ low) >>> 0),
    fc.nat(0xffff).map((low) => (wish.network.network ^ low) >>> 0),
    fc.nat(0xffff).map((low) => (0xe0000000 | low) >>> 0),
  );
  const mark = fc.constantFrom(0, 0x4000, 0x4001, 0xc000, 0x8001);
  return fc.record({ source: near, destination: near, mark });
};

interface Packet {
  readonly source: number;
  readonly destination: number;
  readonly mark: number;
}

/** A slow reader of the statements that we write: the verdict of the first rule that fits. */
function verdict(rules: readonly Rule[], packet: Packet): string {
  for (const { statements } of rules) {
    const last = statements.at(-1) as Record<string, unknown>;
    if (statements.slice(0, -1).every((each) => fits(each, packet))) return Object.keys(last)[0]!;
  }
  return 'policy';
}

function fits(statement: unknown, packet: Packet): boolean {
  const { match } = statement as { match: { op: string; left: object; right: unknown } };
  const right = match.right as { prefix: { addr: string; len: number } };
  let equal: boolean;
  if ('&' in match.left) {
    const [, bit] = match.left['&'] as [unknown, number];
    equal = (packet.mark & bit) === match.right;
  } else {
    const { field } = (match.left as { payload: { field: string } }).payload;
    const value = field === 'saddr' ? packet.source : packet.destination;
    equal = contains(parsePrefix4(`${right.prefix.addr}/${right.prefix.len}`)!, value);
  }
  return equal === (match.op === '==');
}

/** flannel's iptables mode in prose, rule by rule. */
function shouldMasquerade({ network, subnet }: FirewallWish, packet: Packet): boolean {
  const { source, destination, mark } = packet;
  if (mark & 0x4000) return false;
  if (contains(subnet, source) && contains(network, destination)) return false;
  if (contains(subnet, destination)) return false;
  const fromOverlay = contains(network, source);
  const multicast = destination >>> 28 === 14;
  return fromOverlay ? !multicast : contains(network, destination);
}

describe('the desired ruleset', () => {
  const seed = runSeed();

  test("means for every packet what flannel's iptables mode means", () => {
    const pair = anyWish.chain((wish) => fc.tuple(fc.constant(wish), anyPacket(wish)));
    fc.assert(
      fc.property(pair, ([wish, packet]) => {
        const { chains, rules } = desiredRuleset(wish);
        const of = (name: string) => rules.filter(({ chain }) => chain === name);
        assert.deepEqual(
          chains.map(({ name }) => name),
          [
            ...(wish.masquerade ? ['postrtg'] : []),
            ...(wish.forwardRules ? ['forward'] : []),
            ...(wish.notrack === null ? [] : ['notrackin', 'notrackout']),
          ],
        );
        const masqueraded = verdict(of('postrtg'), packet) === 'masquerade';
        assert.equal(masqueraded, wish.masquerade && shouldMasquerade(wish, packet));
        const ours = [packet.source, packet.destination].some((each) =>
          contains(wish.network, each),
        );
        assert.equal(verdict(of('forward'), packet) === 'accept', wish.forwardRules && ours);
      }),
      { seed, numRuns: 5_000 },
    );
  });

  describe('in the kernel', () => {
    let space: Namespace;
    before(() => {
      space = createNamespace();
    });
    after(() => space.remove());

    test('is found again as it was wanted, and no other wish is', async () => {
      await fc.assert(
        fc.asyncProperty(anyWish, anyWish, async (wish, other) => {
          const wanted = desiredRuleset(wish);
          const echoed = await changeNft(space.run, replaceTable(wanted));
          const listed = await listTable(space.run, FAMILY, TABLE);
          assert.deepEqual(differences(wanted, listed), []);
          assert.ok(listed === undefined || sameHandles(echoed, listed));
          const same = JSON.stringify(desiredRuleset(other)) === JSON.stringify(wanted);
          assert.equal(differences(desiredRuleset(other), listed).length === 0, same);
        }),
        { seed, numRuns: 40 },
      );
    });
  });
});

describe('a listing', () => {
  const wanted = desiredRuleset(WISH);
  const listed = (change: (text: string) => string = (text) => text): NftEntry[] => {
    const added = replaceTable(wanted).slice(2) as { add: NftEntry }[];
    return JSON.parse(change(JSON.stringify(added.map(({ add }) => add)))) as NftEntry[];
  };

  const same: [string, (text: string) => string][] = [
    ['with handles', (text) => text.replaceAll('"chain":"', '"handle":7,"chain":"')],
    ['with counters', (text) => text.replaceAll('"expr":[', '"expr":[{"counter":{"bytes":9}},')],
    ['with flags as a list', (text) => text.replaceAll('"fully-random"', '["fully-random"]')],
    ['with other comments', (text) => text.replaceAll('kube-proxy', 'KUBE')],
    [
      'with members in another order',
      (text) => text.replace(/("op":"=="),("left".*?})(?=,"r)/, '$2,$1'),
    ],
  ];
  for (const [what, change] of same) {
    test(`${what} means the same`, () => {
      assert.notEqual(JSON.stringify(listed(change)), JSON.stringify(listed()));
      assert.deepEqual(differences(wanted, listed(change)), []);
    });
  }

  const others: [string, NftEntry[] | undefined, RegExp][] = [
    ['that is missing', undefined, /^the table was gone$/],
    [
      'that sleeps',
      listed((text) => text.replace('"name"', '"flags":"dormant","name"')),
      /dormant/,
    ],
    ['with a set', [...listed(), { set: { name: 'x' } }], /^set x was not ours$/],
    ['with a chain', [...listed(), { chain: { name: 'x' } }], /^chain x was not ours$/],
    ['that drops', listed((text) => text.replaceAll('accept"}', 'drop"}')), /drops by default/],
    ['without a rule', listed().toSpliced(3, 1), /lacked/],
    ['with a rule twice', [...listed(), listed().at(-1)!], /twice or out of order/],
    ['out of order', listed().reverse(), /out of order/],
    [
      'with a flag less',
      listed((t) => t.replace('{"flags":"fully-random"}', 'null')),
      /rules of others/,
    ],
  ];
  for (const [what, entries, fault] of others) {
    test(`${what} is told`, () => assert.match(differences(wanted, entries).join(), fault));
  }
});
