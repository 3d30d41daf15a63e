import { formatAddress4 } from '../../../wire/address.ts';
import type { Attributes, Lease } from '../../lease.ts';
import { parseLeaseValue } from '../../lease.ts';
import type { EtcdKey } from '../client.ts';
import { FOR_EVER, type Held } from './claim.ts';
import { sameAttributes } from './plan.ts';

/** Two nodes that write over each other under one key must not do so without a pause. */
const LEAST_RESTORE_MS = 1_000;
const MOST_RESTORE_MS = 60_000;

/** What a key under our name turned out to say. */
export type Found =
  | { readonly kind: 'ours' }
  | { readonly kind: 'foreign'; readonly publicAddress: number }
  /** Not another node's, and not our words either; ours are due again in so long. */
  | { readonly kind: 'overwritten'; readonly pauseMs: number };

/** What is to be done next, and how long there is until then. */
export type Due =
  | { readonly kind: 'publish' | 'renew' }
  | { readonly kind: 'wait'; readonly milliseconds: number };

/**
 * The key that is held: what is known of it, and when what is due. Without a line and without a
 * clock; `now` is always a time of performance.now(), which no step of the wall clock touches.
 */
export class Holding {
  readonly #marginMs: number;
  readonly #backoffMs: number;
  /** PublicIPs that we wrote, or tried to write, under this key. */
  readonly #addresses: Set<number>;
  #attributes: Attributes;
  #held: Held;
  #renewAt: number;
  #publishAt: number;
  #restorePause = LEAST_RESTORE_MS;
  #restoredAt = Number.NEGATIVE_INFINITY;

  constructor(held: Held, attributes: Attributes, marginMs: number, backoffMs: number) {
    this.#held = held;
    this.#attributes = attributes;
    this.#marginMs = marginMs;
    this.#backoffMs = backoffMs;
    this.#addresses = new Set([held.lease.publicAddress]);
    this.#renewAt = this.#renewalTime();
    this.#publishAt = this.#isPublished() ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  get held(): Held {
    return this.#held;
  }

  isOver(now: number): boolean {
    return now >= this.#held.ends;
  }

  due(now: number): Due {
    if (now >= this.#publishAt) return { kind: 'publish' };
    if (now >= this.#renewAt) return { kind: 'renew' };
    return { kind: 'wait', milliseconds: Math.min(this.#publishAt, this.#renewAt) - now };
  }

  /** What the node says of itself is something else from now on. */
  change(attributes: Attributes): void {
    this.#attributes = attributes;
    if (!this.#isPublished()) this.#publishAt = Number.NEGATIVE_INFINITY;
  }

  /** The lease as it is to be written; from now on the key may name its PublicIP. */
  publishing(): Lease {
    const { key, subnet, subnet6 } = this.#held.lease;
    this.#addresses.add(this.#attributes.publicAddress);
    return { key, subnet, ...(subnet6 !== undefined && { subnet6 }), ...this.#attributes };
  }

  /** The write was done, as this revision. */
  published(lease: Lease, revision: number): void {
    this.#held = { ...this.#held, lease, revision, asOf: revision };
    this.#publishAt = this.#isPublished() ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  /** The write was refused, for the key has changed: how is about to be heard. */
  refused(now: number): void {
    this.#publishAt = now + this.#backoffMs;
  }

  /** The etcd lease was extended to these times. */
  renewed(ends: number, seconds: number): void {
    this.#held = { ...this.#held, ends, seconds };
    this.#renewAt = this.#renewalTime();
  }

  /** Takes over what the key says as of a revision, unless it is another node's. */
  take({ value, lease: leaseId, revision }: EtcdKey, asOf: number, now: number): Found {
    const parsed = parseLeaseValue(value);
    const publicAddress = parsed.ok ? parsed.value.publicAddress : 0;
    if (publicAddress !== 0 && !this.#addresses.has(publicAddress)) {
      return { kind: 'foreign', publicAddress };
    }
    if (leaseId !== this.#held.leaseId) this.#moveTo(leaseId, now);
    this.#held = { ...this.#held, revision, asOf };
    if (parsed.ok && sameAttributes(parsed.value, this.#attributes)) {
      // Perhaps a write of ours whose answer was lost.
      this.#held = { ...this.#held, lease: this.publishing() };
      this.#publishAt = Number.POSITIVE_INFINITY;
      return { kind: 'ours' };
    }
    if (parsed.ok && sameAttributes(parsed.value, this.#held.lease)) {
      this.#publishAt = Number.NEGATIVE_INFINITY;
      return { kind: 'ours' };
    }
    return { kind: 'overwritten', pauseMs: this.#restoreLater(now) };
  }

  /** Somebody wrote the key with another etcd lease, or with none: it is what counts now. */
  #moveTo(leaseId: string, now: number): void {
    const isReserved = leaseId === FOR_EVER;
    const wasReserved = this.#held.leaseId === FOR_EVER;
    const known = wasReserved ? now : this.#held.ends;
    this.#held = { ...this.#held, leaseId, ends: isReserved ? Number.POSITIVE_INFINITY : known };
    // How long the other one lasts is only known once it is extended.
    this.#renewAt = isReserved ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  #restoreLater(now: number): number {
    const quiet = now - this.#restoredAt;
    if (quiet > 10 * MOST_RESTORE_MS) this.#restorePause = LEAST_RESTORE_MS;
    const pause = this.#restorePause;
    this.#restorePause = Math.min(2 * pause, MOST_RESTORE_MS);
    this.#restoredAt = now + pause;
    this.#publishAt = this.#restoredAt;
    return pause;
  }

  #isPublished(): boolean {
    return sameAttributes(this.#held.lease, this.#attributes);
  }

  /** The margin before the end; where there is no room for it, after a third of the time. */
  #renewalTime(): number {
    const { ends, seconds } = this.#held;
    const margin = this.#marginMs < seconds * 1000 ? this.#marginMs : (seconds * 2000) / 3;
    return ends === Number.POSITIVE_INFINITY ? ends : ends - margin;
  }
}

/** Why a lease is lost to another node, for the operator. */
export function explainForeign(publicAddress: number): string {
  return `its key names another node now, PublicIP ${formatAddress4(publicAddress)}`;
}
