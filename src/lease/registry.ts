import type { Prefix4 } from '../wire/address.ts';
import type { Attributes, Lease, Prefix6 } from './lease.ts';
import type { NetworkConfig } from './network.ts';

/**
 * Where a node's own lease is claimed and kept: etcd now, Kubernetes later. The contract:
 *
 * - A node is known by its PublicIP, as in flannel: the lease that carries it is the node's own.
 * - Trouble with the store is told, never thrown, and retried for ever with bounded back-off. One
 *   log line when a trouble begins, one for each new kind of it, one when it ends.
 * - Nothing that carries another node's PublicIP is ever overwritten or deleted.
 * - Events come from a later turn of the event loop than the call that asked for them, and never
 *   after `stop` was called. A listener that throws is a mistake of ours and ends the process.
 */
export interface LeaseRegistry {
  /** For logs, without secrets: `etcd http://10.0.0.1:2379 /coreos.com/network`. */
  readonly name: string;
  /**
   * The lease that this PublicIP (host-order uint32) holds there now, the first in key order; for
   * backends that keep state in it (VtepMAC). Tries on quietly until answered.
   * @throws the signal's reason, once it is aborted
   */
  findOwn(publicAddress: number, signal: AbortSignal): Promise<Lease | undefined>;
  /** Acquires a subnet and keeps it, for ever. */
  keep(wish: LeaseWish, events: LeaseEvents): LeaseKeeper;
}

/** What a node wants to hold, and what it says of itself there. */
export interface LeaseWish {
  readonly network: NetworkConfig;
  readonly attributes: Attributes;
  /** From `subnet.env`: taken again where it is free and still fits. */
  readonly previous: Prefix4 | undefined;
  readonly previous6?: Prefix6 | undefined;
  /** How long before its end a lease is renewed; one that is as long as the lease or longer is
   *  taken for two thirds of it. */
  readonly renewMarginMinutes: number;
  /** flannel's, and the default: 86400. */
  readonly timeToLiveSeconds?: number;
}

export interface LeaseEvents {
  /** Held from now on; called again after `lost`, with the same or another subnet. */
  held(lease: Lease): void;
  /** The lease is gone or somebody else's, for the reason told; the keeper acquires again. */
  lost(reason: string): void;
  /**
   * A sentence for readiness: no lease can be had for now, or the one held ran out while the store
   * cannot be reached. The empty string when that is over. Never the same sentence twice in a row.
   */
  trouble(reason: string): void;
}

export interface LeaseKeeper {
  status(): LeaseKeeperStatus;
  /** PublicIP or BackendData changed: published under the key held, by compare-and-set. */
  republish(attributes: Attributes): void;
  /** Ends the upkeep; the lease stays in the store, as flannel's does. */
  stop(): Promise<void>;
}

export interface LeaseKeeperStatus {
  /** What is held, as published last; null while nothing is. */
  readonly lease: Lease | null;
  /** Until it runs out, by the monotonic clock; negative once past. Null: nothing held, or held
   *  for ever. */
  readonly secondsLeft: number | null;
  /** The key held has no time to live: somebody reserved it for this node. */
  readonly reservation: boolean;
  /** Since the start: times the lease was extended, tries that failed, leases lost. */
  readonly renewals: number;
  readonly failures: number;
  readonly lost: number;
  /** The present trouble, the empty string while there is none. */
  readonly trouble: string;
}

/** Before there is a keeper, so that every metric exists from the start. */
export const NO_LEASE_STATUS: LeaseKeeperStatus = {
  lease: null,
  secondsLeft: null,
  reservation: false,
  renewals: 0,
  failures: 0,
  lost: 0,
  trouble: '',
};
