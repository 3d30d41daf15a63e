import type { Logger } from 'pino';
import { formatPrefix4 } from '../../../wire/address.ts';
import type { Lease } from '../../lease.ts';
import type { LeaseEvents } from '../../registry.ts';
import type { EtcdError } from '../errors.ts';
import { runCallback } from '../lines.ts';
import { FOR_EVER, type Held } from './claim.ts';
import { TroubleLog } from './trouble.ts';

/** Says what becomes of the node's lease: to the log, to the listener, and as numbers. */
export class Announcer {
  readonly counts = { renewals: 0, failures: 0, lost: 0 };
  readonly #registry: string;
  readonly #events: LeaseEvents;
  readonly #log: Logger;
  readonly #troubles: TroubleLog;
  #trouble = '';
  #isSilent = false;

  constructor(registry: string, events: LeaseEvents, log: Logger) {
    this.#registry = registry;
    this.#events = events;
    this.#log = log;
    this.#troubles = new TroubleLog(registry, log);
  }

  /** The present trouble, or the empty string. */
  get trouble(): string {
    return this.#trouble;
  }

  /** The listener hears nothing from now on. */
  silence(): void {
    this.#isSilent = true;
  }

  held({ lease, leaseId }: Held): void {
    this.well();
    const kind = leaseId === FOR_EVER ? ', a reservation' : '';
    const subnet = formatPrefix4(lease.subnet);
    this.#log.info({ registry: this.#registry }, `lease of ${subnet} acquired${kind}`);
    this.#tell(() => this.#events.held(lease));
  }

  lost({ key }: Lease, reason: string): void {
    this.counts.lost += 1;
    this.#log.error({ key, reason }, 'the lease of this node is lost; acquiring another');
    this.#tell(() => this.#events.lost(reason));
  }

  /** All is leased. */
  full(reason: string): void {
    if (this.#say(reason)) this.#log.error({ registry: this.#registry }, reason);
  }

  /** What was wrong is over. */
  well(): void {
    this.#troubles.over('the lease of this node can be looked after again');
    this.#say('');
  }

  /** The line to etcd failed; `now` on the clock of performance.now(). */
  failed(error: EtcdError, held: Held | undefined, now: number): void {
    this.counts.failures += 1;
    if (held === undefined) {
      this.#troubles.failed(error, 'no lease can be acquired yet; trying on quietly');
      this.#say(`no lease can be acquired yet: ${error.message}`);
      return;
    }
    const subnet = formatPrefix4(held.lease.subnet);
    const minutes = Math.max(0, Math.floor((held.ends - now) / 60_000));
    const left = held.leaseId === FOR_EVER ? 'has no end' : `is good for ${minutes} min`;
    this.#troubles.failed(error, `the lease of ${subnet} ${left}; trying on quietly`);
    if (now < held.ends) return;
    const danger = `the lease of ${subnet} has run out: another node may take it`;
    if (this.#say(danger)) this.#log.error({ reason: error.message }, danger);
  }

  /** Tells of trouble, or of its end; whether that was news. */
  #say(trouble: string): boolean {
    if (trouble === this.#trouble) return false;
    this.#trouble = trouble;
    this.#tell(() => this.#events.trouble(trouble));
    return true;
  }

  #tell(work: () => void): void {
    if (!this.#isSilent) runCallback(work);
  }
}
