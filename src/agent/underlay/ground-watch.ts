import { INSIDE_NETWORK } from '../../lease/admission.ts';
import type { HostGround } from '../../lease/host/ground.ts';
import type { Run } from '../../linux/command.ts';
import { type Link, listLinks } from '../../linux/link.ts';
import { listLocalRoutes, listRoutesWithin } from '../../linux/route.ts';
import type { Logger } from '../../log.ts';
import { formatPrefix4, overlaps, type Prefix4 } from '../../wire/address.ts';
import { Rounds } from '../node/rounds.ts';
import type { Peers } from '../peers.ts';
import type { Readiness } from '../readiness.ts';
import type { Uplink } from '../uplink.ts';
import { describeGround, type Overlay, readGround } from './ground.ts';
import { cureOfOverlap, describeOverlap, findOverlap } from './overlap.ts';

/** Peers that are named; the cure is the same for all. */
const NAMED = 3;

export interface GroundOptions {
  readonly run: Run;
  readonly readiness: Readiness;
  readonly log: Pick<Logger, 'warn'>;
  readonly overlay: Overlay;
  readonly uplink: () => Uplink;
  /** Leases are to be judged anew. */
  readonly changed: () => void;
}

/**
 * Keeps an eye on what this host has itself: leases are judged by it, and where it has addresses in
 * common with the overlay, the operator hears of it.
 */
export class GroundWatch {
  ground: HostGround | undefined;
  private readonly options: GroundOptions;
  private readonly rounds: Rounds;
  readonly overlay: Overlay;
  private links: readonly Link[] = [];
  private unreached: readonly string[] = [];
  private told = '';

  constructor(options: GroundOptions) {
    this.options = options;
    this.overlay = options.overlay;
    this.rounds = new Rounds(() => this.round());
  }

  /** Resolves when a look that began after this call is over. */
  look(): Promise<void> {
    return this.rounds.ask();
  }

  async stop(): Promise<void> {
    await this.rounds.stop();
    this.options.readiness.clear('overlap');
  }

  /** Other leases are refused: those behind the overlay's own route are this node's trouble. */
  heed(peers: Peers): void {
    this.unreached = peers
      .refusals(NAMED, (reason) => reason === 'bad_public_address')
      .filter(({ detail }) => detail.endsWith(INSIDE_NETWORK))
      .map(({ key }) => key);
    this.tell();
  }

  private async round(): Promise<void> {
    const { log, changed, overlay, uplink } = this.options;
    try {
      const { ground, links } = await lookAtGround(this.options.run, overlay, uplink());
      if (this.rounds.stopped) return;
      const news = this.ground === undefined || describeGround(ground) !== this.describe();
      this.ground = ground;
      this.links = links;
      this.tell();
      if (news) changed();
    } catch (error) {
      log.warn(`cannot look at this host's addresses: ${(error as Error).message}`);
    }
  }

  private describe(): string {
    return describeGround(this.ground!);
  }

  /** Works and is warned of while every peer is on the link; not ready once one is not. */
  private tell(): void {
    const { overlay, uplink, readiness, log } = this.options;
    const shared = findOverlap(this.links, overlay, uplink());
    const stopped = this.rounds.stopped || this.ground === undefined;
    const faults = shared === undefined || stopped ? [] : this.faults(shared);
    const what = shared === undefined ? '' : describeOverlap(overlay, shared, uplink());
    const cure = cureOfOverlap(this.links, overlay.tunnel);
    const trouble = `${what}: ${faults.join(', and ')}; ${cure}`;
    if (faults.length > 0) readiness.set('overlap', trouble);
    else readiness.clear('overlap');
    const limit = overlay.takesNetwork
      ? 'only nodes on the link are reached'
      : 'subnets may meet it';
    const all = faults.length > 0 ? trouble : `${what}: ${limit}; ${cure}`;
    const sentence = what === '' || stopped ? '' : all;
    if (sentence !== '' && sentence !== this.told) log.warn(sentence);
    this.told = sentence;
  }

  private faults(shared: Prefix4): string[] {
    const { subnet } = this.overlay;
    const nodes = `nodes in it that are not on the link are not reached`;
    return [
      ...(this.unreached.length === 0 ? [] : [`${nodes} (${this.unreached.join(', ')})`]),
      ...(overlaps(shared, subnet) ? ["this node's own subnet has addresses of it"] : []),
    ];
  }
}

/** @throws CommandError */
export async function lookAtGround(
  run: Run,
  overlay: Overlay,
  uplink: Uplink,
): Promise<{ readonly ground: HostGround; readonly links: readonly Link[] }> {
  const [links, local, routes] = await Promise.all([
    listLinks(run),
    listLocalRoutes(run),
    overlay.takesNetwork ? listRoutesWithin(run, formatPrefix4(overlay.network)) : [],
  ]);
  return { ground: readGround(links, [...routes, ...local], overlay, uplink.address), links };
}
