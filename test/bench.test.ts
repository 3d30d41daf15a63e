/** The benches at small size, so that none rots; and what turns their numbers into text. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { change } from '../bench/change.bench.ts';
import { checksum } from '../bench/checksum.bench.ts';
import { coalesce } from '../bench/coalesce.bench.ts';
import { crossing } from '../bench/crossing.bench.ts';
import { egress } from '../bench/egress.bench.ts';
import { lookups } from '../bench/lookup.bench.ts';
import { chooseContenders } from '../bench/netns/contenders.ts';
import { ROWS } from '../bench/netns/measure.ts';
import { renderPlot } from '../bench/netns/plot.ts';
import { type Outcome, renderResults, summarise } from '../bench/netns/results.ts';
import { searchRate } from '../bench/netns/search.ts';
import { measureScrape } from '../bench/scrape.ts';
import { segment } from '../bench/segment.bench.ts';
import { measureStart } from '../bench/start.ts';
import { tap } from '../bench/tap.bench.ts';

describe('micro-benches', () => {
  for (const bench of [checksum, lookups, change, segment, coalesce, egress, crossing, tap]) {
    test(`${bench.name} does the same work again and again`, () => {
      const cases = bench.cases('small');
      assert.ok(cases.length > 0);
      for (const { name, run } of cases) {
        const hash = run();
        assert.notEqual(hash, 0, name);
        assert.deepEqual([run(), run()], [hash, hash], name);
      }
      const again = bench.cases('small').map(({ run }) => run());
      const hashes = cases.map(({ run }) => run());
      assert.deepEqual(again, hashes);
    });
  }

  test('scrape counts the series that it asked for', async () => {
    const [without, withPeers] = [await measureScrape(0, 2), await measureScrape(10, 2)];
    assert.ok(without.series > 200 && without.medianMs > 0);
    assert.equal(withPeers.series, without.series + 10 * 10 + 6);
  });

  test('start times Node, the version and a whole weft run', async () => {
    const { node, version, run } = await measureStart(1);
    assert.ok(node > 0 && version > 0);
    // Without root there is no namespace to run it in.
    assert.equal(run !== undefined && run > node, process.getuid?.() === 0);
  });

  test('both checksums compute one thing', () => {
    const hashes = checksum.cases('small').map(({ run }) => run());
    const pairs = hashes.filter((_, index) => index % 2 === 0).map((hash) => [hash, hash]);
    assert.deepEqual(hashes, pairs.flat());
  });
});

describe('search of the highest rate', () => {
  const span = { lowest: 1_000, highest: 256_000, steps: 10 };

  test('ends near the limit and never above it', async () => {
    for (const limit of [1_500, 40_000, 200_000]) {
      const found = await searchRate(span, async (rate) => (rate <= limit ? rate : undefined));
      assert.ok(found <= limit && found > limit * 0.98, `${found} of ${limit}`);
    }
  });

  test('is 0 where nothing arrives whole', async () => {
    assert.equal(await searchRate(span, async () => undefined), 0);
  });

  test('forgives one hiccup at each rate', async () => {
    const seen = new Set<number>();
    const found = await searchRate(span, async (rate) => {
      if (seen.has(rate)) return rate;
      seen.add(rate);
      return undefined;
    });
    assert.ok(found > 250_000);
  });
});

describe('results', () => {
  const rounds = (...tcp1: number[]) => tcp1.map((value) => ({ tcp1: value }));
  const outcomes: Outcome[] = [
    { name: 'weft', about: 'ours', rounds: rounds(9, 5, 6) },
    { name: 'vxlan', about: 'the kernel', rounds: rounds(12, 10) },
    { name: 'socat', about: '<slow>', rounds: [] },
    { name: 'weft --offload all=off', about: 'ours, plain', rounds: rounds(1) },
  ];

  test('a summary is the median and the span', () => {
    assert.deepEqual(summarise(outcomes[0]!, 'tcp1'), { median: 6, least: 5, most: 9 });
    assert.deepEqual(summarise(outcomes[1]!, 'tcp1'), { median: 11, least: 10, most: 12 });
    assert.equal(summarise(outcomes[2]!, 'tcp1'), undefined);
  });

  test('tables show medians, spans, ratios and failures', () => {
    const failures = ['- round 1 of 3, socat: gone'];
    const text = renderResults(ROWS, outcomes, { facts: [['Kernel', '6.18']], failures });
    const rows = text.split('\n').filter((line) => line.startsWith('| TCP, 1 flow, Gb/s'));
    assert.deepEqual(rows, [
      '| TCP, 1 flow, Gb/s | 6.00 (5.00 to 9.00) | 11.00 (10.00 to 12.00) |  | 0.55 |  |',
      '| TCP, 1 flow, Gb/s | 6.00 (5.00 to 9.00) | 1.00 (1.00 to 1.00) |',
    ]);
    assert.match(text, /^- Kernel: 6\.18$/m);
    assert.match(text, /## What failed\n\n- round 1 of 3, socat: gone\n/);
  });

  test('small ratios keep the digits that tell them apart', () => {
    const named = (name: string, ...values: number[]) => ({
      name,
      about: '',
      rounds: rounds(...values),
    });
    const text = renderResults(ROWS, [named('weft', 1), named('socat', 24)], {
      facts: [],
      failures: [],
    });
    assert.match(text, /\| 0\.0417 \|/);
  });

  test('the plot has a bar for each median', () => {
    const svg = renderPlot(ROWS.slice(0, 1), outcomes);
    // One rectangle is the ground, one the legend's.
    assert.equal(svg.match(/<rect /g)?.length, 2 + 3);
    assert.match(svg, />11\.00<\/text>/);
    assert.match(svg, /<\/svg>\n$/);
  });

  test('the plot says what it shows, and fits a dark page', () => {
    const svg = renderPlot(ROWS.slice(0, 1), outcomes);
    assert.match(svg, /<svg [^>]*role="img" aria-labelledby="title desc"/);
    assert.match(svg, /<title id="title">[^<]+<\/title>\n<desc id="desc">[^<]+<\/desc>/);
    assert.match(svg, /weft: TCP, 1 flow: 6\.00 Gb\/s\. vxlan: .*socat: not measured\./);
    assert.match(svg, /@media \(prefers-color-scheme: dark\)/);
    // Colours stand in the style alone, or a dark page could not change them.
    assert.doesNotMatch(svg, / fill="/);
  });

  test('contenders are chosen by name, weft with any options', () => {
    const names = chooseContenders('socat, weft --tx-ports 4').map(({ name }) => name);
    assert.deepEqual(names, ['socat', 'weft --tx-ports 4']);
    assert.throws(() => chooseContenders('weft,vlan'), /no contender is named 'vlan'; there are/);
  });
});
