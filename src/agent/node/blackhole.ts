import type { Run } from '../../linux/command.ts';
import { ensureBlackholeRoute, removeBlackholeRoute } from '../../linux/route.ts';
import type { Logger } from '../../log.ts';
import { formatPrefix4, type Prefix4 } from '../../wire/address.ts';

/** Behind any route that a bridge or an operator sets for the same prefix. */
const METRIC = 4_096;

export interface BlackholeOptions {
  readonly run: Run;
  readonly log: Logger;
  /** Between two looks. */
  readonly seconds: number;
}

/**
 * Keeps a blackhole route for the own subnet, so that packets to addresses no pod has are not
 * routed out by the default route and back again (--ip-blackhole-route). Stays at the end.
 */
export class Blackhole {
  private readonly options: BlackholeOptions;
  private timer: NodeJS.Timeout | undefined;
  private prefix = '';
  private told = '';

  constructor(options: BlackholeOptions) {
    this.options = options;
  }

  /** @throws CommandError */
  async set(subnet: Prefix4): Promise<void> {
    const { run, seconds } = this.options;
    const before = this.prefix;
    this.prefix = formatPrefix4(subnet);
    await ensureBlackholeRoute(run, this.prefix, METRIC);
    if (before !== '' && before !== this.prefix) await removeBlackholeRoute(run, before, METRIC);
    this.timer ??= setInterval(() => void this.look(), seconds * 1000);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    const { run, log } = this.options;
    try {
      await ensureBlackholeRoute(run, this.prefix, METRIC);
      this.told = '';
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.told) log.warn(message);
      this.told = message;
    }
  }
}
