import type { EtcdError } from '../errors.ts';

/** The longest that a timer of Node can be set for. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1;

/** One who waits: for a time, for news, or for the end. */
export class Vigil {
  readonly #ended = new AbortController();
  #wake: () => void = () => undefined;

  /** Whether nothing new is to be begun any more. */
  get isOver(): boolean {
    return this.#ended.signal.aborted;
  }

  end(): void {
    this.#ended.abort();
    this.#wake();
  }

  /** Something has happened that a sleeper may want to look at. */
  wake(): void {
    this.#wake();
  }

  /** Until the time is over, something has happened, or the end has come. */
  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.isOver) return resolve();
      const timer = setTimeout(() => this.#wake(), Math.min(milliseconds, LONGEST_SLEEP_MS));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * Steps on while `step` says so, beside a watch that `begin` starts; whoever hears news there
   * calls `wake`. The watch ends with the last step, and its trouble is thrown.
   */
  async watching(
    begin: (signal: AbortSignal) => Promise<never>,
    step: () => Promise<boolean>,
  ): Promise<void> {
    const watch = new AbortController();
    let broken: EtcdError | undefined;
    begin(watch.signal).catch((error: EtcdError) => {
      if (watch.signal.aborted) return;
      broken = error;
      this.#wake();
    });
    try {
      while (!this.isOver && (await step())) {
        if (broken !== undefined) throw broken;
      }
    } finally {
      watch.abort();
    }
  }
}
