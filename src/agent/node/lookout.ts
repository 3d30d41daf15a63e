import { type Monitor, type MonitorOptions, startMonitor } from '../../linux/monitor.ts';
import { Rounds } from './rounds.ts';

/** Should the monitor miss something, it is found at the next look. */
const LOOK_EVERY_MS = 30_000;

export interface LookoutOptions {
  /** One look, which tells of its own failures and never rejects. */
  readonly look: () => Promise<void>;
  readonly everyMs?: number;
  /** What tells of changes, and of which. */
  readonly monitor: Omit<MonitorOptions, 'changed'>;
  /** Whether a change is looked at now, or waits for the timer; without it, every change is. */
  readonly heeds?: () => boolean;
}

/**
 * Keeps an eye on something of the host's: looks soon after each change, every so often, and when
 * asked; one look at a time, as Rounds are.
 */
export class Lookout {
  private readonly rounds: Rounds;
  private readonly monitor: Monitor;
  private readonly timer: NodeJS.Timeout;

  /** Begins with the first change; `look` is for who wants one before. */
  constructor({ look, everyMs = LOOK_EVERY_MS, monitor, heeds = () => true }: LookoutOptions) {
    this.rounds = new Rounds(look);
    this.monitor = startMonitor({
      ...monitor,
      changed: () => {
        if (heeds()) void this.look();
      },
    });
    this.timer = setInterval(() => void this.look(), everyMs);
  }

  get stopped(): boolean {
    return this.rounds.stopped;
  }

  /** Resolves when a look that began after this call is over; none begins after `stop`. */
  look(): Promise<void> {
    return this.rounds.ask();
  }

  /** Resolves when the look under way is over, and the monitor gone. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all([this.rounds.stop(), this.monitor.stop()]);
  }
}
