import { ErrorBoundary, guardedInterval, type Trouble } from '../../http/boundary.ts';
import { dropCounts } from '../../observe/drops/counts.ts';
import { BusyRatios } from '../../observe/node-metrics.ts';
import type { History, HistorySample } from '../schema.ts';
import type { ApiView, PeerView } from '../view.ts';
import { totals } from './totals.ts';

const SAMPLE_EVERY_MS = 1_000;
const SAMPLES_KEPT = 300;
/** Rates are over this long: short enough to see a change, long enough to be read. */
const RATE_SECONDS = 10;
/** A look at every peer costs more than one at the sums, and thousands may be there. */
const PEERS_EVERY_SAMPLES = 5;

interface Moment {
  /** On a steady clock, in seconds. */
  readonly at: number;
  readonly sample: HistorySample;
  readonly drops: readonly number[];
}

interface PeerBytes {
  readonly tx: number | undefined;
  readonly rx: number | undefined;
}

interface PeerMoment {
  readonly at: number;
  readonly bytes: ReadonlyMap<string, PeerBytes>;
}

/** What the counters were, so that rates can be told at once; bounded in length. */
export class Recorder {
  readonly busy = new BusyRatios();
  private readonly view: ApiView;
  private readonly moments: Moment[] = [];
  private peerMoments: PeerMoment[] = [];
  private ticks = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly boundary: ErrorBoundary;

  constructor(view: ApiView, trouble: Trouble = () => {}) {
    this.view = view;
    this.boundary = new ErrorBoundary(trouble);
  }

  start(): void {
    const failed = (error: Error) => this.boundary.tell('taking a sample', error);
    try {
      this.sample();
    } catch (error) {
      failed(error as Error);
    }
    this.timer = guardedInterval(() => this.sample(), SAMPLE_EVERY_MS, failed).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Takes one sample; public for tests, which have a clock of their own. */
  sample(now = performance.now() / 1000): void {
    const drops = dropCounts(this.view);
    const sample = totals(this.view, drops);
    this.moments.push({ at: now, sample, drops: drops.map((row) => row.packets) });
    if (this.moments.length > SAMPLES_KEPT) this.moments.shift();
    this.busy.sample(this.view.pumps(), now);
    if (this.ticks % PEERS_EVERY_SAMPLES === 0) this.samplePeers(now);
    this.ticks += 1;
  }

  history(): History {
    return {
      everySeconds: SAMPLE_EVERY_MS / 1000,
      samples: this.moments.map(({ sample }) => sample),
    };
  }

  /** Rate of a counter since some ten seconds ago, or since the start where that is later. */
  rateOf(name: Exclude<keyof HistorySample, 'atSeconds'>, value: number): number {
    const before = this.before();
    return before === undefined ? 0 : rate(value, before.sample[name], before.at);
  }

  /** The same for one drop reason, by its place in `dropCounts`. */
  dropRate(index: number, packets: number): number {
    const before = this.before();
    return before === undefined ? 0 : rate(packets, before.drops[index] ?? packets, before.at);
  }

  /** Bytes a second to and from one peer; null where they are not counted or it is too new. */
  peerRates(peer: PeerView): { tx: number | null; rx: number | null } {
    const before = this.peerMoments[0];
    const bytes = before?.bytes.get(peer.subnet);
    if (before === undefined || bytes === undefined) return { tx: null, rx: null };
    const of = (now: number | undefined, then: number | undefined) =>
      now === undefined || then === undefined ? null : rate(now, then, before.at);
    return { tx: of(peer.txBytes, bytes.tx), rx: of(peer.rxBytes, bytes.rx) };
  }

  private before(): Moment | undefined {
    const last = this.moments.at(-1);
    if (last === undefined) return undefined;
    return this.moments.find(({ at }) => at >= last.at - RATE_SECONDS);
  }

  private samplePeers(now: number): void {
    const bytes = new Map<string, PeerBytes>();
    for (const { subnet, txBytes, rxBytes } of this.view.peers()) {
      if (txBytes === undefined && rxBytes === undefined) continue;
      bytes.set(subnet, { tx: txBytes, rx: rxBytes });
    }
    // Three, five seconds apart: the oldest is ten seconds before the newest.
    this.peerMoments = [...this.peerMoments, { at: now, bytes }].slice(-3);
  }
}

function rate(now: number, then: number, at: number): number {
  const seconds = performance.now() / 1000 - at;
  return seconds <= 0 ? 0 : Math.max(0, now - then) / seconds;
}
