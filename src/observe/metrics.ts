import { Registry } from 'prom-client';
import { type ReadMetric, registerAll, single } from './exposition.ts';
import {
  BusyRatios,
  type ForwarderView,
  forwarderMetrics,
  type NodeView,
  nodeMetrics,
  type PumpView,
  pumpMetrics,
} from './node-metrics.ts';
import { type PacketView, packetMetrics } from './packet-metrics.ts';
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
  /** What else there is to tell. */
  readonly more?: readonly ReadMetric[];
  readonly build: BuildInfo;
  readonly logWriteErrors: () => number;
}

export interface Metrics {
  readonly contentType: string;
  /** The exposition in Prometheus' text format. */
  text(): Promise<string>;
  stop(): void;
}

const SAMPLE_EVERY_MS = 1_000;

/** A registry of its own with every metric of the program; nothing is written per packet. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { view, packets, more = [], build, logWriteErrors } = options;
  const exposition = new Registry();
  const busy = new BusyRatios();
  registerAll(exposition, [
    ...nodeMetrics(view),
    ...(packets === undefined ? [] : metricsOfPackets(packets, busy)),
    ...more,
    ...processMetrics(),
    {
      name: 'weft_log_write_errors_total',
      help: 'Log lines that could not be written',
      type: 'counter',
      read: () => single(logWriteErrors()),
    },
    {
      name: 'weft_build_info',
      help: 'Always 1; its labels say what runs',
      type: 'gauge',
      read: () => [{ labels: { ...build }, value: 1 }],
    },
  ]);
  const sample = () => busy.sample(packets?.pumps() ?? [], performance.now() / 1000);
  const timer = setInterval(sample, SAMPLE_EVERY_MS).unref();
  return {
    contentType: exposition.contentType,
    text: () => exposition.metrics(),
    stop: () => clearInterval(timer),
  };
}

function metricsOfPackets(view: PacketsView, busy: BusyRatios): ReadMetric[] {
  return [...packetMetrics(view), ...forwarderMetrics(view), ...pumpMetrics(view, busy)];
}

/** A pump wakes once a second; five missed wake-ups are no delay but a hang. */
const OLDEST_HEARTBEAT_SECONDS = 5;

/** What /healthz complains of: pumps that no longer turn. */
export function unhealthyPumps(pumps: readonly PumpView[]): string[] {
  return pumps
    .filter((pump) => pump.heartbeatAgeSeconds >= OLDEST_HEARTBEAT_SECONDS)
    .map(({ direction, worker, heartbeatAgeSeconds }) => {
      const seconds = heartbeatAgeSeconds.toFixed(1);
      return `${direction} worker ${worker} hangs: last heartbeat ${seconds} s ago`;
    });
}
