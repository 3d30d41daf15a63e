import type { SourceStatus } from '../lease/source.ts';
import type { WatcherCounts } from '../lease/watcher.ts';
import type { Route } from '../linux/route.ts';
import type { Prefix4 } from '../wire/address.ts';
import type { InForceStatus } from './config/in-force.ts';
import type { Peers } from './peers.ts';
import type { Forwarder } from './udp/forwarder.ts';
import type { Uplink } from './uplink.ts';

/** This node's part of the overlay as it stands; times are Unix seconds. */
export interface OwnView {
  readonly network: Prefix4;
  readonly subnet: Prefix4;
  readonly publicAddress: number;
  /** Who says so: a file, an option, a lease store. */
  readonly origin: string;
  readonly sinceSeconds: number;
  /** Null where another process keeps the lease. */
  readonly renewedSeconds: number | null;
  /** Null too where the lease has no end. */
  readonly expiresSeconds: number | null;
  /** Why nothing is carried although the node goes by this lease; null while it holds it. */
  readonly lost: string | null;
}

/** What every life of weft shows of itself while it lives, for metrics, health and the API. */
export interface Observed {
  /** Undefined where packets are another process's business, or the kernel's. */
  readonly forwarder: Forwarder | undefined;
  readonly peers: Peers | undefined;
  readonly uplink: Uplink | undefined;
  readonly sourceName: string;
  own(): OwnView | null;
  /** Absent where another process reads the network config. */
  configInForce?(): InForceStatus;
  notReady(): string[];
  leaseCounts(): WatcherCounts;
  leaseStatus(): SourceStatus;
  /** The kernel's route to an address; undefined where it has none. */
  route(destination: string): Promise<Route | undefined>;
}
