import type { PumpCounters } from '../dataplane/counters.ts';
import type { PumpView } from '../observe/node-metrics.ts';
import type { PeerTraffic } from '../observe/peer-metrics.ts';
import type { ConfigRow } from './schema.ts';

/** One peer; what is left out is not measured here, or not yet. Counters never go down. */
export interface PeerView extends PeerTraffic {
  readonly publicAddress: string;
  readonly backendType: string;
  readonly probe?: ProbeView;
}

/** What the overlay probe knows of one peer. */
export interface ProbeView {
  readonly roundTripMs: number | null;
  readonly lossRatio: number;
  readonly sent: number;
  readonly lastAnswerSeconds: number | null;
}

/** The route that the kernel would take now, as `ip route get` tells it. */
export interface RouteView {
  readonly type: string;
  readonly device?: string;
  readonly gateway?: string;
  readonly source?: string;
  /** Path MTU that the kernel learned for the destination, in bytes. */
  readonly mtu?: number;
}

/**
 * What a daemon hands the API, read at each request: plain values, never waiting but for `route`.
 * A daemon without a packet path (the agent of another backend) has no workers and no counters.
 */
export interface ApiView {
  /** `dataplane`, `agent` or `run`. */
  readonly command: string;
  readonly version: string;
  /** Null while not known. Addresses are text. */
  device(): DeviceView | null;
  underlay(): UnderlayView | null;
  lease(): OwnLeaseView | null;
  /** `strict`, `peer` or `any`. */
  readonly accept: string;

  readonly featureNames: readonly string[];
  /** Features that the operator switched off. */
  readonly disabledFeatures: readonly string[];
  pumps(): readonly PumpView[];
  readonly counters: readonly PumpCounters[];
  /** Packets the kernel dropped before a worker could read them. */
  tunQueueDrops(): number;
  /** What the kernel counted since weft's start, by nstat(8)'s names. */
  kernelCounts(): ReadonlyMap<string, number>;

  readonly leaseSourceName: string;
  leaseStatus(): LeaseStatusView;
  leaseCounts(): { readonly peers: number; readonly refused: Readonly<Record<string, number>> };
  refusals(limit: number): readonly RefusalView[];
  peers(): readonly PeerView[];
  /** Why there is no overlay probe, or the empty string while it runs. */
  probeOff(): string;

  /** Null where another process reads the network config. */
  networkConfig(): NetworkConfigView | null;
  notReady(): readonly string[];
  /** The kernel's route to an address, undefined where it has none. */
  route(destination: string): Promise<RouteView | undefined>;
  config(): readonly ConfigRow[];
}

export interface DeviceView {
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly address: string;
}

export interface UnderlayView {
  readonly name: string;
  readonly mtu: number;
  readonly address: string;
  readonly publicAddress: string;
  readonly port: number;
  readonly reason: string;
}

export interface OwnLeaseView {
  readonly network: string;
  readonly subnet: string;
  readonly publicAddress: string;
  readonly origin: string;
  readonly sinceSeconds: number;
  readonly renewedSeconds: number | null;
  readonly expiresSeconds: number | null;
  /** Why nothing is carried although the node goes by this lease; null while it holds it. */
  readonly lost: string | null;
}

/** Whether the network config in the store is the one in force. */
export interface NetworkConfigView {
  /** Null while not known. */
  readonly inForce: boolean | null;
  readonly reason: string;
  readonly sinceSeconds: number;
}

export interface LeaseStatusView {
  readonly state: 'connecting' | 'synced' | 'stale';
  readonly reason: string;
  /** 0 if never. */
  readonly lastSyncSeconds: number;
  readonly resyncs: number;
  readonly failures: number;
}

export interface RefusalView {
  readonly key: string;
  readonly reason: string;
  readonly detail: string;
}
