/** Bounds of a search; each step halves the span between them on a logarithmic scale. */
export interface RateSpan {
  readonly lowest: number;
  readonly highest: number;
  readonly steps: number;
}

/** What arrived when this rate was offered, or undefined when too much was lost. */
export type Probe = (rate: number) => Promise<number | undefined>;

/**
 * The highest rate that arrived without loss, or 0. A rate that fails is tried once more: on a
 * machine that does other things too, one hiccup must not halve the answer.
 */
export async function searchRate(span: RateSpan, probe: Probe): Promise<number> {
  let { lowest, highest } = span;
  let best = 0;
  for (let step = 0; step < span.steps; step++) {
    const rate = Math.sqrt(lowest * highest);
    const arrived = (await probe(rate)) ?? (await probe(rate));
    if (arrived === undefined) {
      highest = rate;
      continue;
    }
    // The sender may offer less than it was asked for; what arrived is what counts.
    best = Math.max(best, arrived);
    lowest = rate;
  }
  return best;
}
