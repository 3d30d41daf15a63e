/**
 * Which words of a table were written last, so that the other copy can catch up by these alone.
 * A range may name words that did not change: copying them again does no harm.
 */

/** 32 kB; whoever writes more ranges at once has changed so much that copying all is as quick. */
const MOST_RANGES = 4096;

export class Journal {
  /** First word and the one after the last, of each range. */
  readonly #ranges = new Int32Array(2 * MOST_RANGES);
  #count = 0;
  #everything = false;

  /** Words `from` to `end` - 1 were written. */
  note(from: number, end: number): void {
    if (this.#count === MOST_RANGES) this.#everything = true;
    if (this.#everything) return;
    this.#ranges[2 * this.#count] = from;
    this.#ranges[2 * this.#count + 1] = end;
    this.#count++;
  }

  /** Any word may have been written. */
  noteEverything(): void {
    this.#everything = true;
  }

  /** Copies what was noted, and begins anew. `used` words are all that `fresh` has. */
  replay(fresh: Int32Array, stale: Int32Array, used: number): void {
    if (this.#everything) stale.set(fresh.subarray(0, used));
    else this.#replayRanges(fresh, stale);
    this.#count = 0;
    this.#everything = false;
  }

  #replayRanges(fresh: Int32Array, stale: Int32Array): void {
    for (let range = 0; range < this.#count; range++) {
      const end = this.#ranges[2 * range + 1];
      for (let at = this.#ranges[2 * range]; at < end; at++) stale[at] = fresh[at];
    }
  }
}
