/**
 * Work that many ask for and that never runs twice at once. Whoever asks while a round is under way
 * gets one more after it, the same for all who ask meanwhile: what they know may be news to the
 * round under way.
 */
export class Rounds {
  private readonly work: () => Promise<void>;
  private running: Promise<void> | undefined;
  private asked = false;
  private isStopped = false;

  /** @param work one round, which tells of its own failures and never rejects */
  constructor(work: () => Promise<void>) {
    this.work = work;
  }

  get stopped(): boolean {
    return this.isStopped;
  }

  /** Whether a round is under way. */
  get busy(): boolean {
    return this.running !== undefined;
  }

  /** Resolves when a round that began after this call is over; begins none after `stop`. */
  async ask(): Promise<void> {
    if (!this.isStopped) {
      this.asked = true;
      this.running ??= this.run();
    }
    await this.running;
  }

  /** Resolves when the round under way is over. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.running;
  }

  private async run(): Promise<void> {
    try {
      while (this.asked && !this.isStopped) {
        this.asked = false;
        await this.work();
      }
    } finally {
      // In one step with the look at `asked`: nobody can ask in between and not be heard.
      this.running = undefined;
    }
  }
}
