import { byId, setText } from '../element.ts';
import { bits, packetRate, short } from '../format.ts';
import { type Columns, SPAN_SECONDS } from '../history.ts';
import uPlot from './uplot.js';

const HEIGHT = 190;
/** Below this a plot would magnify nothing into mountains. */
const LEAST_BITS = 1_000;
const LEAST_DROPS = 4;
const DASHES = [5, 4];

interface PlotParts {
  readonly id: string;
  readonly least: number;
  readonly unit: string;
  readonly text: (value: number) => string;
  /** Where the values under the pointer, or the latest, are written. */
  readonly labels: readonly [tx: string, rx: string];
}

const PLOTS: readonly PlotParts[] = [
  {
    id: 'throughput',
    least: LEAST_BITS,
    unit: 'b/s',
    text: (value) => bits(value / 8),
    labels: ['tx-now', 'rx-now'],
  },
  {
    id: 'losses',
    least: LEAST_DROPS,
    unit: '/s',
    text: packetRate,
    labels: ['tx-lost', 'rx-lost'],
  },
];

/** Both live plots; they are made anew when the colours of the page change. */
export class Plots {
  private plots: uPlot[] = [];
  private columns: Columns = { at: [], txBits: [], rxBits: [], txDrops: [], rxDrops: [] };

  constructor() {
    this.build();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.build());
    const sized = new ResizeObserver(() => {
      for (const plot of this.plots) plot.setSize({ width: widthOf(plot.root), height: HEIGHT });
    });
    for (const { id } of PLOTS) sized.observe(byId(id));
  }

  show(columns: Columns): void {
    this.columns = columns;
    this.plots.forEach((plot, index) => {
      plot.setData(this.data(index), false);
      const end = columns.at.at(-1) ?? Date.now() / 1000;
      plot.batch(() => {
        plot.setScale('x', { min: end - SPAN_SECONDS, max: end });
        plot.setScale('y', { min: 0, max: this.top(index, end - SPAN_SECONDS) });
      });
      label(PLOTS[index]!, plot);
    });
  }

  private data(index: number): uPlot.AlignedData {
    const { at, txBits, rxBits, txDrops, rxDrops } = this.columns;
    return index === 0 ? [at, txBits, rxBits] : [at, txDrops, rxDrops];
  }

  private top(index: number, from: number): number {
    const [at, ...series] = this.data(index);
    let top = PLOTS[index]!.least;
    for (const values of series) {
      values.forEach((value, i) => {
        if (at[i]! >= from && value != null && value > top) top = value;
      });
    }
    return top * 1.08;
  }

  private build(): void {
    for (const plot of this.plots) plot.destroy();
    this.plots = PLOTS.map((parts, index) => {
      const parent = byId(parts.id);
      return new uPlot(options(parts, parent.clientWidth), this.data(index), parent);
    });
    this.show(this.columns);
  }
}

function widthOf(root: HTMLElement): number {
  return root.parentElement?.clientWidth ?? root.clientWidth;
}

/** The values under the pointer, else the latest ones. */
function label({ labels, text }: PlotParts, plot: uPlot): void {
  const at = plot.cursor.idx ?? plot.data[0].length - 1;
  labels.forEach((id, index) => {
    const value = plot.data[index + 1]?.[at];
    setText(byId(id), value == null ? '–' : text(value));
  });
}

function options(parts: PlotParts, width: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const font = `11px ${style.getPropertyValue('--sans')}`;
  const axis = {
    stroke: colour('quiet'),
    font,
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
  };
  const line = { width: 1.75, points: { show: false }, spanGaps: false };
  return {
    width,
    height: HEIGHT,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { auto: false } },
    axes: [
      { ...axis, size: 26, gap: 6, space: 64, values: (_, at) => at.map(clock) },
      {
        ...axis,
        size: 62,
        gap: 6,
        space: 34,
        values: (_, values) => values.map((value) => short(value, parts.unit)),
      },
    ],
    series: [
      {},
      { ...line, label: 'out', stroke: colour('tx'), fill: colour('tx-fill') },
      { ...line, label: 'in', stroke: colour('rx'), dash: DASHES },
    ],
    hooks: { setCursor: [(plot) => label(parts, plot)] },
  };
}

const twoDigits = (value: number) => String(value).padStart(2, '0');

function clock(seconds: number): string {
  const date = new Date(seconds * 1000);
  const minutes = `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
  return date.getSeconds() === 0 ? minutes : `${minutes}:${twoDigits(date.getSeconds())}`;
}
