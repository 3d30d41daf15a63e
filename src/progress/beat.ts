import type { Signs } from './signs.ts';

/**
 * One pump's heartbeat as main sees it. A pump that gets no CPU does not hang: it is runnable, or
 * its time on a CPU goes up a little between two looks. One that runs for seconds without a beat
 * does, for a breath is milliseconds of work.
 */
export class Beat {
  /** When it was last seen to beat, in milliseconds. */
  since: number;
  private value = -1;
  /** When it was last seen to beat, or to have the excuse. */
  private excused: number;
  private cpuMs = 0;
  private cpuAtBeatMs = 0;

  constructor(now: number) {
    this.since = now;
    this.excused = now;
  }

  look(now: number, value: number, { cpuMs, runnable }: Signs): void {
    const beats = value !== this.value;
    if (beats) {
      this.value = value;
      this.since = now;
      this.cpuAtBeatMs = cpuMs;
    }
    const moves = runnable || cpuMs !== this.cpuMs;
    const inCircles = cpuMs - this.cpuAtBeatMs >= CIRCLES_MS;
    if (beats || (moves && !inCircles)) this.excused = now;
    this.cpuMs = cpuMs;
  }

  hangsMs(now: number): number {
    return now - this.excused;
  }
}

/** A thousand times what a breath takes. */
const CIRCLES_MS = 5_000;
