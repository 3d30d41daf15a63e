import { Registry } from 'prom-client';
import { guardedInterval } from '../http/boundary.ts';
import { counter, gauge, type ReadMetric, registerAll, single } from './exposition.ts';
import {
  BusyRatios,
  type ForwarderView,
  forwarderMetrics,
  leaseMetrics,
  type NodeView,
  nodeMetrics,
  type PumpView,
  pumpMetrics,
} from './node-metrics.ts';
import { effortMetrics, type PacketView, packetMetrics } from './packet-metrics.ts';
import { PeerSeries, type PeerTraffic, peerMetrics } from './peer-metrics.ts';
import { processMetrics } from './process-metrics.ts';

/** Where packets are moved by this very process. */
export type PacketsView = PacketView & ForwarderView;

/** Labels of `weft_build_info`. */
export interface BuildInfo {
  readonly version: string;
  readonly node: string;
  /** What makes the system calls, with its version. */
  readonly binding: string;
  readonly kernel: string;
}

export interface MetricsOptions {
  readonly view: NodeView;
  /** Left out where another process moves the packets. */
  readonly packets?: PacketsView;
  /** What else the agent has to tell. */
  readonly more?: readonly ReadMetric[];
  /** Peers, of which at most `limit` have series of their own; left out: no metrics of peers. */
  readonly peers?: PeersView | undefined;
  readonly build: BuildInfo;
  readonly logWriteErrors: () => number;
  /** Hears of a sample that could not be taken. */
  readonly failed?: (error: Error) => void;
}

export interface PeersView {
  readonly limit: number;
  readonly read: () => readonly PeerTraffic[];
}

/** Metrics that belong together, as docs/metrics.md shows them. */
export interface MetricSection {
  readonly title: 'Packets' | 'Leases' | 'Node and workers' | 'Agent' | 'Process' | 'Peers';
  readonly metrics: readonly ReadMetric[];
}

export interface Metrics {
  readonly contentType: string;
  /** The exposition in Prometheus' text format. */
  text(): Promise<string>;
  stop(): void;
}

const SAMPLE_EVERY_MS = 1_000;

/** Every metric there is; `busy` is sampled by the caller. */
export function metricSections(options: MetricsOptions, busy: BusyRatios): MetricSection[] {
  const { view, packets, more = [], build, logWriteErrors, peers } = options;
  const own = [
    counter(
      'weft_log_write_errors_total',
      'Log lines that could not be written',
      () => single(logWriteErrors()),
      'full disk, closed pipe, or a pipe that its reader does not empty',
    ),
    gauge('weft_build_info', 'Always 1; its labels say what runs', () => [
      { labels: { ...build }, value: 1 },
    ]),
  ];
  return [
    { title: 'Packets', metrics: packets === undefined ? [] : packetMetrics(packets) },
    { title: 'Leases', metrics: leaseMetrics(view) },
    {
      title: 'Node and workers',
      metrics: [
        ...nodeMetrics(view),
        ...(packets === undefined ? [] : forwarderMetrics(packets)),
        ...(packets === undefined ? [] : pumpMetrics(packets, busy)),
        ...(packets === undefined ? [] : effortMetrics(packets)),
      ],
    },
    { title: 'Agent', metrics: more },
    { title: 'Process', metrics: [...processMetrics(), ...own] },
    { title: 'Peers', metrics: peers === undefined ? [] : metricsOfPeers(peers) },
  ];
}

function metricsOfPeers({ limit, read }: PeersView): ReadMetric[] {
  return limit > 0 ? peerMetrics(new PeerSeries(limit, read)) : [];
}

/** A registry of its own with every metric of the program; nothing is written per packet. */
export function createMetrics(options: MetricsOptions): Metrics {
  const exposition = new Registry();
  const busy = new BusyRatios();
  for (const { metrics } of metricSections(options, busy)) registerAll(exposition, metrics);
  const sample = () => busy.sample(options.packets?.pumps() ?? [], performance.now() / 1000);
  const timer = guardedInterval(sample, SAMPLE_EVERY_MS, options.failed ?? (() => {})).unref();
  return {
    contentType: exposition.contentType,
    text: () => exposition.metrics(),
    stop: () => clearInterval(timer),
  };
}

/** A pump wakes once a second; five missed wake-ups are no delay but a hang. */
const MOST_HANGING_SECONDS = 5;

/** What /healthz complains of: pumps that no longer turn. */
export function unhealthyPumps(pumps: readonly PumpView[]): string[] {
  return pumps
    .filter((pump) => pump.hangsSeconds >= MOST_HANGING_SECONDS)
    .map(({ direction, worker, heartbeatAgeSeconds }) => {
      const seconds = heartbeatAgeSeconds.toFixed(1);
      return `${direction} worker ${worker} hangs: last heartbeat ${seconds} s ago`;
    });
}
