import type { Run } from '../../linux/command.ts';
import {
  ensureBlackholeRoute,
  listRoutes,
  listRoutesWithin,
  removeBlackholeRoute,
} from '../../linux/route.ts';
import type { Logger } from '../../log.ts';
import { formatPrefix4, type Prefix4 } from '../../wire/address.ts';

/** Behind any route that a bridge or an operator sets for the same prefix; the mark of ours too. */
const METRIC = 4_096;

export interface BlackholeOptions {
  readonly run: Run;
  readonly log: Logger;
  /** The network that subnets are cut from. */
  readonly network: Prefix4;
  /** Between two looks. */
  readonly seconds: number;
}

/**
 * Keeps a blackhole route for the own subnet, so that packets to addresses no pod has are not
 * routed out by the default route and back again (--ip-blackhole-route). Stays at the end, so the
 * next life removes one that an earlier life left for a subnet that is somebody else's by now.
 */
export class Blackhole {
  private readonly options: BlackholeOptions;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private prefix = '';
  private told = '';

  constructor(options: BlackholeOptions) {
    this.options = options;
  }

  /** @throws CommandError */
  async set(subnet: Prefix4): Promise<void> {
    const { run, network, seconds } = this.options;
    // A look under way would bring the one before back.
    await this.stop();
    const prefix = formatPrefix4(subnet);
    await ensureBlackholeRoute(run, prefix, METRIC);
    this.prefix = prefix;
    for (const route of await listRoutesWithin(run, formatPrefix4(network))) {
      if (route.type !== 'blackhole' || route.metric !== METRIC) continue;
      if (route.destination !== prefix) await removeBlackholeRoute(run, route.destination, METRIC);
    }
    this.timer = setInterval(() => this.look(), seconds * 1000);
  }

  /**
   * The subnet is not ours any more: packets to it go where its next owner is.
   * @throws CommandError
   */
  async remove(): Promise<void> {
    await this.stop();
    if (this.prefix === '') return;
    await removeBlackholeRoute(this.options.run, this.prefix, METRIC);
    this.prefix = '';
  }

  /** Ends the looks; the route stays. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await this.looking;
  }

  private look(): void {
    this.looking ??= this.restore().finally(() => {
      this.looking = undefined;
    });
  }

  private async restore(): Promise<void> {
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

/**
 * Removes the route that an earlier life left for a subnet.
 * @returns whether there was one
 * @throws CommandError
 */
export async function removeOwnBlackhole(run: Run, subnet: Prefix4): Promise<boolean> {
  const prefix = formatPrefix4(subnet);
  const routes = await listRoutes(run, prefix);
  if (!routes.some(({ type, metric }) => type === 'blackhole' && metric === METRIC)) return false;
  await removeBlackholeRoute(run, prefix, METRIC);
  return true;
}
