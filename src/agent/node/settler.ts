import { Rounds } from './rounds.ts';

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

export interface SettlerOptions {
  /** Brings what is to what is wanted; may be called any number of times, never twice at once. */
  readonly settle: () => Promise<void>;
  /** A try failed; the next follows after a pause that grows. */
  readonly failed: (error: Error) => void;
  /** A try succeeded after one that failed. */
  readonly recovered: () => void;
}

/**
 * One runner for changes that come from many sides: however many wake it, one settles at a time,
 * and after the last wake-up once more.
 */
export class Settler {
  private readonly options: SettlerOptions;
  private readonly rounds = new Rounds(() => this.work());
  private retry: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;
  private troubled = false;

  constructor(options: SettlerOptions) {
    this.options = options;
  }

  wake(): void {
    clearTimeout(this.retry);
    void this.rounds.ask();
  }

  async stop(): Promise<void> {
    clearTimeout(this.retry);
    await this.rounds.stop();
  }

  private async work(): Promise<void> {
    try {
      await this.options.settle();
      if (this.troubled) this.options.recovered();
      this.troubled = false;
      this.retryMs = FIRST_RETRY_MS;
    } catch (error) {
      this.fail(error as Error);
    }
  }

  private fail(error: Error): void {
    if (this.rounds.stopped) return;
    this.troubled = true;
    this.options.failed(error);
    this.retry = setTimeout(() => this.wake(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
  }
}
