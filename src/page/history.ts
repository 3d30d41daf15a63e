import type { HistorySample, Status } from '../api/schema.ts';

/** Rates over time, in uPlot's shape: a column each, null where nothing is known. */
export interface Columns {
  readonly at: number[];
  readonly txBits: (number | null)[];
  readonly rxBits: (number | null)[];
  readonly txDrops: (number | null)[];
  readonly rxDrops: (number | null)[];
}

/** What the plots show, in seconds. */
export const SPAN_SECONDS = 300;
/** Farther apart than this, two samples have a hole between them and not a line. */
const HOLE_SECONDS = 5;
const LEAST_STEP_SECONDS = 0.2;

/** Counters of the last minutes, from the server's own memory and then from each answer. */
export class History {
  private samples: HistorySample[] = [];

  /** Begins again with what the server remembers. */
  load(samples: readonly HistorySample[]): void {
    this.samples = [...samples];
  }

  add(status: Status): void {
    const { nowSeconds, tx, rx } = status;
    const last = this.samples.at(-1);
    if (last !== undefined && nowSeconds - last.atSeconds < LEAST_STEP_SECONDS) return;
    this.samples.push({
      atSeconds: nowSeconds,
      ...{ txPackets: tx.packets, txBytes: tx.bytes, txDrops: tx.dropped },
      ...{ rxPackets: rx.packets, rxBytes: rx.bytes, rxDrops: rx.dropped },
    });
    const oldest = nowSeconds - SPAN_SECONDS - HOLE_SECONDS;
    while (this.samples[0] !== undefined && this.samples[0].atSeconds < oldest) {
      this.samples.shift();
    }
  }

  columns(): Columns {
    const columns: Columns = { at: [], txBits: [], rxBits: [], txDrops: [], rxDrops: [] };
    for (let index = 1; index < this.samples.length; index++) {
      const [before, now] = [this.samples[index - 1]!, this.samples[index]!];
      const seconds = now.atSeconds - before.atSeconds;
      // Counters that went down are those of another process: weft was started again.
      const known = seconds > 0 && seconds <= HOLE_SECONDS && now.txBytes >= before.txBytes;
      const rate = (name: keyof HistorySample) =>
        known ? Math.max(0, (now[name] - before[name]) / seconds) : null;
      const bits = (name: keyof HistorySample) => {
        const bytes = rate(name);
        return bytes === null ? null : bytes * 8;
      };
      columns.at.push(now.atSeconds);
      columns.txBits.push(bits('txBytes'));
      columns.rxBits.push(bits('rxBytes'));
      columns.txDrops.push(rate('txDrops'));
      columns.rxDrops.push(rate('rxDrops'));
    }
    return columns;
  }
}
