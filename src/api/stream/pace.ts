/** How packets are held to a rate that a person can read; pure but for the caller's clock. */
import { MOST_THINNED } from '../../watch/wish.ts';

/** As long as it takes to know a rate of some a second. */
export const PERIOD_MS = 400;
/** Packets come to main in turns of this length at most. */
const TURN_MS = 100;
/** So long after a change packets still come that were taken before it. */
const LAG_MS = 2 * TURN_MS;

/**
 * Of how many packets to look at one, so that about so many a second come: more thinned out as soon
 * as too many come, less by halves, so that a pause in traffic does not begin a flood.
 */
export class Pace {
  every = 1;
  private readonly rate: number;
  private arrived = 0;
  private sinceMs: number;

  /** @param nowMs of a clock that does not go back, as in the other calls */
  constructor(rate: number, nowMs: number) {
    this.rate = rate;
    this.sinceMs = nowMs;
  }

  /** So many came. */
  arrive(count: number, nowMs: number): void {
    if (nowMs < this.sinceMs) return;
    this.arrived += count;
    const wanted = (this.rate * PERIOD_MS) / 1000;
    if (this.arrived > 2 * wanted) {
      const perSecond = (this.arrived * 1000) / Math.max(TURN_MS, nowMs - this.sinceMs);
      const every = Math.ceil((this.every * perSecond) / this.rate);
      this.change(Math.min(MOST_THINNED, Math.max(this.every, every)), nowMs);
    } else if (nowMs - this.sinceMs >= PERIOD_MS) {
      const few = this.arrived < wanted / 2;
      this.change(few ? Math.max(1, Math.floor(this.every / 2)) : this.every, nowMs);
    }
  }

  private change(every: number, nowMs: number): void {
    this.sinceMs = every === this.every ? nowMs : nowMs + LAG_MS;
    this.every = every;
    this.arrived = 0;
  }
}

/** So many a second; half of it in reserve for drops, which are what people look for. */
export class Allowance {
  private readonly rate: number;
  private left: number;
  private at: number;

  /** @param nowMs of a clock that does not go back */
  constructor(rate: number, nowMs: number) {
    this.rate = rate;
    this.left = rate;
    this.at = nowMs;
  }

  /** Whether one more may be shown now. */
  take(nowMs: number, isDrop: boolean): boolean {
    const grown = this.left + ((nowMs - this.at) * this.rate) / 1000;
    this.left = Math.min(this.rate, grown);
    this.at = nowMs;
    const reserve = isDrop ? 0 : Math.floor(this.rate / 2);
    if (this.left - reserve < 1) return false;
    this.left -= 1;
    return true;
  }
}
