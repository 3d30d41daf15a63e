/** A node as metrics see it, made of numbers; for what needs every series and no packet. */
import { NO_COUNTS, NO_STATUS } from '../../src/agent/peers.ts';
import { BLOCK_SLOTS, type PumpCounters } from '../../src/dataplane/counters.ts';
import { FEATURES } from '../../src/dataplane/messages.ts';
import {
  createMetrics,
  type Metrics,
  type PacketsView,
  type PeersView,
} from '../../src/observe/metrics.ts';
import type { NodeView } from '../../src/observe/node-metrics.ts';
import type { PeerTraffic } from '../../src/observe/peer-metrics.ts';

export interface ViewOptions {
  readonly workers?: number;
  /** Peers that have series of their own; so many peers there are as well. */
  readonly peers?: number;
}

export function metricsView({ workers = 1 }: ViewOptions = {}): PacketsView & NodeView {
  const counters: PumpCounters[] = (['tx', 'rx'] as const).flatMap((direction) =>
    Array.from({ length: workers }, (_, worker) => ({
      direction,
      worker,
      values: new Float64Array(new SharedArrayBuffer(BLOCK_SLOTS * 8)),
    })),
  );
  return {
    counters,
    workers,
    publications: 1,
    deviceUp: true,
    recreations: 0,
    mtu: { inner: 1472, underlay: 1500 },
    featureNames: FEATURES,
    tunQueueDrops: () => 0,
    kernelCounts: () => new Map(),
    pumps: () => [],
    notReady: () => [],
    leaseCounts: () => NO_COUNTS,
    leaseStatus: () => NO_STATUS,
  };
}

/** So many peers, each with series of its own. */
export function peersOf(limit: number): PeersView {
  const all = Array.from({ length: limit }, (_, index) => peerOf(index + 1));
  return { limit, read: () => all };
}

function peerOf(index: number): PeerTraffic {
  const tx = { txPackets: 7, txBytes: 700, txDrops: 0 };
  const rx = { rxPackets: 5, rxBytes: 500, rxDrops: 0, lastSeenSeconds: 1_700_000_000 };
  const probe = { roundTripMs: 0.5, lossRatio: 0 };
  const subnet = `10.${244 + (index >> 8)}.${index & 255}.0/24`;
  return { subnet, ...tx, ...rx, pathMtu: 1500, probe };
}

export function metricsOf(options: ViewOptions): Metrics {
  const build = { version: '0.0.0', node: '20.11.0', binding: 'koffi 3.0.0', kernel: '5.4.0' };
  const view = metricsView(options);
  const peers = peersOf(options.peers ?? 0);
  const metrics = createMetrics({ view, packets: view, build, logWriteErrors: () => 0, peers });
  metrics.stop();
  return metrics;
}

export function renderMetrics(options: ViewOptions): Promise<string> {
  return metricsOf(options).text();
}
