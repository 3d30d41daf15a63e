import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Span, Walk } from '../../../../src/lease/etcd/own/choose.ts';
import {
  address6Of,
  chooseSubnet,
  freeSubnets,
  numberOf6,
  spanOf4,
  spanOf6,
} from '../../../../src/lease/etcd/own/choose.ts';
import { parseAddress6, parsePrefix4 } from '../../../../src/wire/address.ts';
import { runSeed } from '../../../support/random.ts';

/** The slow twin: every subnet of the walk, held against every taken span. */
function slowFree({ least, most, size }: Walk, taken: readonly Span[], limit: number): bigint[] {
  const free: bigint[] = [];
  for (let first = least; first <= most; first += size) {
    const last = first + size - 1n;
    if (!taken.some((span) => first <= span.last && span.first <= last)) free.push(first);
  }
  return free.slice(0, limit);
}

const walks = fc
  .record({ size: fc.bigInt(1n, 8n), least: fc.bigInt(0n, 40n), count: fc.bigInt(0n, 60n) })
  .map(({ size, least, count }) => {
    return { size, least: least * size, most: (least + count) * size };
  });
const spans = fc.array(
  fc
    .tuple(fc.bigInt(0n, 900n), fc.bigInt(0n, 40n))
    .map(([first, more]) => ({ first, last: first + more })),
  { maxLength: 60 },
);

describe('the choice of a free subnet', () => {
  const seed = runSeed();

  test('is among those that the slow twin finds', () => {
    const limits = fc.integer({ min: 0, max: 50 });
    const property = fc.property(walks, spans, limits, (walk, taken, limit) => {
      assert.deepEqual(freeSubnets(walk, taken, limit), slowFree(walk, taken, limit));
    });
    fc.assert(property, { seed, numRuns: 3000 });
  });

  test('does not depend on the order of what is taken, nor change it', () => {
    const property = fc.property(walks, spans, (walk, taken) => {
      const before = [...taken];
      const free = freeSubnets(walk, taken, 100);
      assert.deepEqual(taken, before);
      assert.deepEqual(freeSubnets(walk, taken.toReversed(), 100), free);
    });
    fc.assert(property, { seed });
  });

  test('falls on each of the first hundred alike, and on no other', () => {
    const walk = { least: 0n, most: 10_000n, size: 1n };
    const chosen = Array.from({ length: 1000 }, (_, i) => chooseSubnet(walk, [], () => i / 1000));
    assert.equal(new Set(chosen).size, 100);
    assert.equal(chosen.at(-1), 99n);
    assert.equal(chooseSubnet({ ...walk, most: 0n }, [{ first: 0n, last: 0n }]), undefined);
  });

  test('strides over a span of millions of subnets, and is quick among 65,000 leases', () => {
    const wide = spanOf6({ network: parseAddress6('fd00::')!, length: 16 });
    const walk = { least: wide.first, most: wide.last + 1n, size: 1n };
    assert.deepEqual(freeSubnets(walk, [wide], 5), [wide.last + 1n]);
    const taken = Array.from({ length: 65_000 }, (_, i) => {
      return spanOf4({ network: (10 << 24) + i * 256, length: 24 });
    });
    const last = { least: BigInt(10 << 24), most: BigInt((10 << 24) + 65_000 * 256), size: 256n };
    assert.deepEqual(freeSubnets(last, taken, 5), [last.most]);
  });
});

describe('addresses as numbers', () => {
  test('spans hold the whole prefix', () => {
    const { first, last } = spanOf4(parsePrefix4('10.5.3.0/24')!);
    assert.deepEqual([first, last], [0x0a050300n, 0x0a0503ffn]);
    const six = spanOf6({ network: parseAddress6('fd00::')!, length: 120 });
    assert.equal(six.last - six.first, 255n);
  });

  test('IPv6 goes there and back', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(bytes, (address) => {
        assert.deepEqual(address6Of(numberOf6(address)), address);
      }),
    );
  });
});
