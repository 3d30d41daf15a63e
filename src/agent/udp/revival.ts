/** Whoever deletes the device again and again is not raced: pauses double up to this. */
const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 30_000;
/** A device that lived so long is not being fought over. */
const CALM_MS = 60_000;

/** How long to wait before a deleted device is made anew. */
export class Revival {
  private pauseMs = 0;
  private last = Number.NEGATIVE_INFINITY;

  /** Milliseconds from this deletion on; 0 for the first in a while. `now` as performance.now(). */
  pause(now: number): number {
    const calm = now - this.last > CALM_MS;
    const next = Math.min(Math.max(2 * this.pauseMs, FIRST_PAUSE_MS), LAST_PAUSE_MS);
    this.pauseMs = calm ? 0 : next;
    this.last = now + this.pauseMs;
    return this.pauseMs;
  }
}
