import type { Metric, Registry } from 'prom-client';
import { escapeText } from '../untrusted/text.ts';

/** One line of the exposition; `suffix` is `_bucket`, `_sum` or `_count` in histograms. */
export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly suffix?: string;
}

export interface ReadMetric {
  readonly name: string;
  readonly help: string;
  /** What an operator does about it, for docs/metrics.md; left out where there is nothing to do. */
  readonly advice?: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Reads the present values; called at each scrape, must not wait. */
  readonly read: () => readonly Sample[];
}

/**
 * Registers metrics that are read where they are kept. prom-client's own classes keep a second copy
 * that would have to be reset and filled at each scrape; what its registry asks of a metric is only
 * a name and `get()`, and both are public parts of every metric.
 */
export function registerAll(exposition: Registry, metrics: readonly ReadMetric[]): void {
  for (const { name, help, type, read } of metrics) {
    const get = async () => ({
      name,
      help,
      type,
      aggregator: 'sum',
      values: read().map(({ labels, value, suffix }) => {
        const sample = { labels: shown(labels), value };
        return suffix === undefined ? sample : { ...sample, metricName: `${name}${suffix}` };
      }),
    });
    exposition.registerMetric({ name, help, type, get, reset: () => {} } as unknown as Metric);
  }
}

/** prom-client escapes what its format needs; what a terminal obeys passes it. */
function shown(labels: Sample['labels']): Sample['labels'] {
  const entries = Object.entries(labels);
  if (entries.every(([, value]) => typeof value === 'number')) return labels;
  return Object.fromEntries(
    entries.map(([name, value]) => [name, typeof value === 'number' ? value : escapeText(value)]),
  );
}

/** One value without labels. */
export const single = (value: number): readonly Sample[] => [{ labels: {}, value }];

/** One value for each name of a closed set. */
export function byLabel(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

export type Read = ReadMetric['read'];

export function gauge(name: string, help: string, read: Read, advice?: string): ReadMetric {
  return { name, help, type: 'gauge', read, ...(advice === undefined ? {} : { advice }) };
}

export function counter(name: string, help: string, read: Read, advice?: string): ReadMetric {
  return { name, help, type: 'counter', read, ...(advice === undefined ? {} : { advice }) };
}
