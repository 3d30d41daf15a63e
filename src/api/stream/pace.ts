/** How packets are held to a rate that a person can read; pure but for the caller's clock. */
import { MOST_THINNED } from '../../watch/wish.ts';

/**
 * One of how many packets to look at next, from how many came in the last period and how many were
 * wanted: up at once, down by halves, so that a pause in traffic does not begin a flood.
 */
export function nextEvery(every: number, arrived: number, wanted: number): number {
  if (arrived > 2 * wanted) return Math.min(MOST_THINNED, Math.ceil((every * arrived) / wanted));
  if (arrived < wanted / 2) return Math.max(1, Math.floor(every / 2));
  return every;
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
