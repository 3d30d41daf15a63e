/**
 * A bar plot as SVG text: one bar a contender and row, its length the median. It says what it shows
 * in words too, and follows the reader's light or dark page.
 */
import type { Row } from './measure.ts';
import { type Outcome, summarise } from './results.ts';

const WIDTH = 760;
const LABEL_WIDTH = 230;
const VALUE_WIDTH = 70;
const BAR = 14;
const GAP = 10;
const TOP = 46;
/** Ground, text and bars; on a dark page the bars of the first row are the lightest. */
const STYLE = `<style>
.ground { fill: #ffffff } text { fill: #222222 }
.row0 { fill: #1f5fa8 } .row1 { fill: #5b9bd5 } .row2 { fill: #b8d3ee }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 } text { fill: #e6edf3 }
.row0 { fill: #a5cdf5 } .row1 { fill: #5b9bd5 } .row2 { fill: #2f6299 }
}
</style>`;

/** All rows must share a unit; at most three. */
export function renderPlot(rows: readonly Row[], outcomes: readonly Outcome[]): string {
  const group = rows.length * BAR + GAP;
  const height = TOP + outcomes.length * group + GAP;
  const medians = outcomes.flatMap((o) => rows.map(({ key }) => summarise(o, key)?.median ?? 0));
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / Math.max(...medians, Number.MIN_VALUE);
  const groups = outcomes.flatMap((outcome, index) => {
    const top = TOP + index * group;
    const middle = top + (rows.length * BAR) / 2 + 4;
    const bars = rows.flatMap((row, i) => bar(outcome, row, i, { top: top + i * BAR, scale }));
    return [text(LABEL_WIDTH - 8, middle, outcome.name, ' text-anchor="end"'), ...bars];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}"`,
    '     role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="12">',
    '<title id="title">Throughput of weft and its rivals</title>',
    `<desc id="desc">${escapeText(describe(rows, outcomes))}</desc>`,
    STYLE,
    `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
    ...legend(rows),
    ...groups,
    '</svg>\n',
  ].join('\n');
}

/** The plot in words: each contender with its medians. */
function describe(rows: readonly Row[], outcomes: readonly Outcome[]): string {
  const sentences = outcomes.map((outcome) => {
    const values = rows.flatMap(({ key, label, unit, digits }) => {
      const median = summarise(outcome, key)?.median;
      return median === undefined ? [] : [`${label}: ${median.toFixed(digits)} ${unit}`];
    });
    return `${outcome.name}: ${values.length === 0 ? 'not measured' : values.join('; ')}.`;
  });
  return `Bars of medians. ${sentences.join(' ')}`;
}

function bar(
  outcome: Outcome,
  row: Row,
  index: number,
  place: { top: number; scale: number },
): string[] {
  const median = summarise(outcome, row.key)?.median;
  if (median === undefined) return [];
  const width = Math.max(median * place.scale, 1).toFixed(1);
  const value = median.toFixed(row.digits);
  return [
    `<rect x="${LABEL_WIDTH}" y="${place.top}" width="${width}" height="${BAR - 2}"` +
      ` class="row${index}"/>`,
    text(LABEL_WIDTH + Number(width) + 5, place.top + BAR - 4, value, ' font-size="10"'),
  ];
}

function legend(rows: readonly Row[]): string[] {
  return rows.flatMap(({ label, unit }, index) => {
    const x = 12 + (index * (WIDTH - 24)) / rows.length;
    const square = `<rect x="${x}" y="14" width="12" height="12" class="row${index}"/>`;
    return [square, text(x + 18, 24, `${label}, ${unit}`, '')];
  });
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}"${attributes}>${escapeText(content)}</text>`;
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
