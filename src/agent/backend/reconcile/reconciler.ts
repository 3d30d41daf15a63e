import type { Lease } from '../../../lease/lease.ts';
import type { Run } from '../../../linux/command.ts';
import type { Logger } from '../../../log.ts';
import { formatPrefix4 } from '../../../wire/address.ts';
import type { Readiness } from '../../readiness.ts';
import type { BackendStatus } from '../backend.ts';
import { applyStep, taskOf } from './apply.ts';
import type { FoundEntry, Plan, WantedEntry } from './plan.ts';
import { makePlan, placeOf } from './plan.ts';
import { Repairs } from './repairs.ts';
import { type Failure, Setbacks } from './setbacks.ts';

/** Should an event be missed, it is found at the next look. */
const LOOK_EVERY_MS = 30_000;
/** After a look that failed as a whole: then the host is in trouble, not one peer. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** A try that is due already costs a look, and not a busy loop. */
const LEAST_PAUSE_MS = 100;

/** What the kernel holds now. */
export interface Sight {
  readonly found: readonly FoundEntry[];
  /** Another one means that what was refused may be accepted now: the device is a new one, say. */
  readonly ground: string;
}

/** What the peers need. */
export interface Want {
  readonly entries: readonly WantedEntry[];
  /** Peers for whom nothing can be done as things are, by subnet, and why. */
  readonly refused: ReadonlyMap<string, string>;
}

/** What a backend knows and the reconciler does not. */
export interface Driver<Seen extends Sight> {
  /** The device that neighbours and forwarding entries belong to. */
  readonly device: string;
  /** Sets right what all peers hang on. @returns what had to be set right, in words */
  ensure(): Promise<readonly string[]>;
  /** @param leases of the peers, by which their routes are known through whatever device */
  look(leases: readonly Lease[]): Promise<Seen>;
  /** Pure. */
  want(leases: readonly Lease[], seen: Seen): Want;
  /** Called once, when a first peer is programmed, or there is none to program. */
  settled(): Promise<void>;
}

export interface ReconcilerOptions<Seen extends Sight> {
  readonly driver: Driver<Seen>;
  readonly run: Run;
  readonly log: Logger;
  readonly readiness: Readiness;
}

/**
 * Keeps the kernel at what the peers need: looks, plans, carries out; again when woken, when a
 * failed line is due, and now and then. One look at a time; wake-ups during one make exactly one
 * more.
 */
export class Reconciler<Seen extends Sight> {
  private readonly options: ReconcilerOptions<Seen>;
  private readonly setbacks: Setbacks;
  private readonly repairs: Repairs;
  /** What was in force at the last look, by place: if it is missing now, others took it away. */
  private inForce = new Map<string, string>();
  private leases: readonly Lease[] | undefined;
  private active = false;
  /** Since `activate` nothing has been looked at: what is missing was taken away by nobody. */
  private fresh = true;
  private settled = false;
  private ground = '';
  private looking: Promise<void> | undefined;
  private again = false;
  private earliest = 0;
  private timer: NodeJS.Timeout | undefined;
  private failedLooks = 0;
  private reconciles = 0;
  private programmed = 0;
  private lastSeconds = 0;
  private lastDurationSeconds = 0;

  constructor(options: ReconcilerOptions<Seen>) {
    this.options = options;
    this.setbacks = new Setbacks(options.log);
    this.repairs = new Repairs(options.log);
  }

  /** From now on the kernel is kept at what the peers need. */
  activate(): void {
    this.active = true;
    this.fresh = true;
    this.wake();
  }

  /** Waits for a look that is going on; none follows until `activate`. */
  async deactivate(): Promise<void> {
    this.active = false;
    clearTimeout(this.timer);
    await this.looking;
  }

  /**
   * Removes everything that is ours, in the state after `deactivate`. What will not go is told.
   * @throws CommandError if the kernel cannot be looked at
   */
  async clear(): Promise<void> {
    const { found } = await this.options.driver.look(this.leases ?? []);
    this.setbacks.forgive();
    await this.carryOut(makePlan([], this.claimKnown(found)), { entries: [], refused: new Map() });
    this.inForce = new Map();
    this.programmed = 0;
  }

  setPeers(leases: readonly Lease[]): void {
    this.leases = leases;
    this.wake();
  }

  /** Looks soon: at once, unless the last look was dear and has only just ended. */
  wake(): void {
    if (this.looking !== undefined) this.again = true;
    else this.schedule(this.earliest - performance.now());
  }

  status(): BackendStatus {
    return {
      peers: this.leases?.length ?? 0,
      programmed: this.programmed,
      failing: this.setbacks.size,
      failures: this.setbacks.first(),
      reconciles: this.reconciles,
      lastReconcileSeconds: this.lastSeconds,
      lastReconcileDurationSeconds: this.lastDurationSeconds,
      repairs: this.repairs.total,
    };
  }

  private schedule(pauseMs: number): void {
    clearTimeout(this.timer);
    if (this.active) this.timer = setTimeout(() => this.start(), Math.max(0, pauseMs));
  }

  private start(): void {
    const begin = performance.now();
    this.again = false;
    this.looking = this.lookOnce().finally(() => {
      const end = performance.now();
      this.looking = undefined;
      // Looking takes at most half of the time, however fast leases change.
      this.earliest = end + (end - begin);
      const least = Math.max(LEAST_PAUSE_MS, end - begin);
      this.schedule(this.again ? end - begin : Math.max(least, this.untilNext(end)));
    });
  }

  private untilNext(now: number): number {
    if (this.failedLooks === 0) return Math.min(LOOK_EVERY_MS, this.setbacks.earliest() - now);
    // A look that fails tries no peer, so one whose time has come must not hurry the next.
    return Math.min(FIRST_RETRY_MS * 2 ** (this.failedLooks - 1), LAST_RETRY_MS);
  }

  private async lookOnce(): Promise<void> {
    const { readiness, log, driver } = this.options;
    const begin = performance.now();
    try {
      this.repairs.add(await driver.ensure());
      if (this.leases !== undefined) await this.reconcile(this.leases);
      this.repairs.tell();
      this.reconciles += 1;
      this.lastSeconds = Date.now() / 1000;
      this.lastDurationSeconds = (performance.now() - begin) / 1000;
      this.failedLooks = 0;
      this.judgeReadiness();
    } catch (error) {
      this.failedLooks += 1;
      const { message } = error as Error;
      if (readiness.set('backend', message)) log.error(message);
    }
  }

  /** One peer that fails is that peer's trouble; if all do, it is the node's. */
  private judgeReadiness(): void {
    const { readiness, log } = this.options;
    const peers = this.leases?.length ?? 0;
    if (peers > 0 && this.programmed === 0) {
      const reason = this.setbacks.first()[0]?.reason ?? 'unknown';
      const sentence = `none of ${peers} peers could be programmed; the first: ${reason}`;
      if (readiness.set('backend', sentence)) log.error(sentence);
    } else if (readiness.clear('backend')) {
      log.info('the kernel can be programmed again');
    }
  }

  private async reconcile(leases: readonly Lease[]): Promise<void> {
    const { driver } = this.options;
    const seen = await driver.look(leases);
    if (seen.ground !== this.ground) this.setbacks.forgive();
    this.ground = seen.ground;
    const want = driver.want(leases, seen);
    const plan = makePlan(want.entries, this.claimKnown(seen.found));
    if (!this.fresh) this.countLost(plan);
    const left = await this.carryOut(plan, want);
    this.remember(want, left);
    this.programmed = leases.filter(
      ({ subnet }) => !this.setbacks.has(formatPrefix4(subnet)),
    ).length;
    this.fresh = false;
    // The old way stays until there is a new one.
    if (this.settled || (leases.length > 0 && this.programmed === 0)) return;
    await driver.settled();
    this.settled = true;
  }

  /** What was in force is ours even without the marks: the route of a lease of another length. */
  private claimKnown(found: readonly FoundEntry[]): FoundEntry[] {
    return found.map((entry) => {
      if (entry.ours || this.inForce.get(placeOf(entry)) !== entry.value) return entry;
      return { ...entry, ours: true };
    });
  }

  private countLost(plan: Plan): void {
    for (const { verb, entry } of plan.steps.flat()) {
      const lost = verb === 'set' && this.inForce.get(placeOf(entry)) === entry.value;
      if (lost) this.repairs.add([`${entry.table} ${entry.key}`]);
    }
  }

  /** @returns places that the plan would have changed and could not */
  private async carryOut(plan: Plan, want: Want): Promise<Set<string>> {
    const { run, driver } = this.options;
    const steps = plan.steps.map((step) =>
      step.map((operation) => taskOf(operation, driver.device)),
    );
    const waiting = this.setbacks.waiting(steps.flat());
    const failed = new Map<string, Failure>();
    const left = new Set<string>();
    for (const step of steps) {
      const due = step.filter(({ owner, place }) => {
        const held = waiting.has(owner) || failed.has(owner);
        if (held) left.add(place);
        return !held;
      });
      for (const [{ owner, line, place }, reason] of await applyStep(run, due)) {
        failed.set(owner, { line, reason });
        left.add(place);
      }
    }
    const refused = new Map([...want.refused, ...plan.refused]);
    this.setbacks.settle({ refused, waiting, failed });
    return left;
  }

  private remember(want: Want, left: ReadonlySet<string>): void {
    const before = this.inForce;
    this.inForce = new Map();
    for (const entry of want.entries) {
      if (!left.has(placeOf(entry)) && !this.setbacks.has(entry.owner)) {
        this.inForce.set(placeOf(entry), entry.value);
      }
    }
    // What should be gone and would not go is still known as ours.
    for (const place of left) {
      const value = before.get(place);
      if (value !== undefined && !this.inForce.has(place)) this.inForce.set(place, value);
    }
  }
}
