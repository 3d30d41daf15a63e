import { byLabel, counter, gauge, type ReadMetric, type Sample, single } from './exposition.ts';

/** What is known of one pump while it lives. */
export interface PumpView {
  readonly worker: number;
  readonly direction: 'tx' | 'rx';
  readonly heartbeatAgeSeconds: number;
  readonly hangsSeconds: number;
  readonly cpuSeconds: number;
  readonly features: readonly string[];
  readonly lowered: readonly string[];
  readonly socketBufferBytes: number;
}

/** What the metrics of a node's packet workers are read from; every label is there at once. */
export interface ForwarderView {
  /** Workers of each direction. */
  readonly workers: number;
  readonly publications: number;
  readonly deviceUp: boolean;
  readonly recreations: number;
  readonly mtu: { readonly inner: number; readonly underlay: number };
  readonly featureNames: readonly string[];
  pumps(): readonly PumpView[];
}

/** What the metrics of the node are read from. */
export interface NodeView {
  notReady(): readonly string[];
  leaseCounts(): {
    readonly peers: number;
    readonly refused: Readonly<Record<string, number>>;
    readonly events: Readonly<Record<string, number>>;
  };
  leaseStatus(): {
    readonly state: string;
    readonly lastSyncSeconds: number;
    readonly resyncs: number;
    readonly failures: number;
  };
}

/** Leases that are well-formed and simply not for UDP; counted apart from refused ones. */
const IGNORED = 'other_backend';
const SOURCE_STATES = ['connecting', 'synced', 'stale'];

export function nodeMetrics(view: NodeView): ReadMetric[] {
  return [
    gauge(
      'weft_ready',
      '1 while /readyz answers 200',
      () => single(Number(view.notReady().length === 0)),
      '`curl 127.0.0.1:8286/readyz` names every cause',
    ),
  ];
}

/** What the node's packet workers have to work with. */
export function forwarderMetrics(view: ForwarderView): ReadMetric[] {
  return [
    gauge(
      'weft_device_up',
      '1 while the TUN device is up',
      () => single(Number(view.deviceUp)),
      '`ip link set flannel0 up`; weft restores the route by itself',
    ),
    counter(
      'weft_device_recreations_total',
      'Times the TUN device was deleted by others and created again',
      () => single(view.recreations),
      'packets are lost each time: who deletes it? `ip monitor link`',
    ),
    gauge(
      'weft_mtu_bytes',
      'MTU of the tunnel (inner) and of the underlay; 0 if unknown',
      () => byLabel('layer', { inner: view.mtu.inner, underlay: view.mtu.underlay }),
      'inner is at most underlay less 28, and the same on every node',
    ),
    gauge(
      'weft_capability',
      '1 if the offload is in force on every worker',
      () => byLabel('feature', capabilities(view)),
      '0 costs throughput, never packets; [features.md](../native-notes/features.md) says why',
    ),
    gauge('weft_workers', 'Packet workers of each direction', () => single(view.workers)),
    counter('weft_table_publications_total', 'Lease tables handed to the workers', () =>
      single(view.publications),
    ),
  ];
}

/** What is known of the leases and of where they come from. */
export function leaseMetrics(view: NodeView): ReadMetric[] {
  return [...leases(view), ...leaseSource(view)];
}

function leases(view: NodeView): ReadMetric[] {
  return [
    gauge(
      'weft_leases',
      'Leases known: peers, those of other backends, refused ones',
      () => {
        const { peers, refused } = view.leaseCounts();
        const ignored = refused[IGNORED] ?? 0;
        const all = Object.values(refused).reduce((total, count) => total + count, 0);
        return byLabel('state', { peer: peers, ignored, refused: all - ignored });
      },
      '`peer` is the number of other nodes; if not, see `weft_lease_refused`',
    ),
    gauge(
      'weft_lease_refused',
      'Leases that are no peers now, by reason',
      () => byLabel('reason', view.leaseCounts().refused),
      'the log names the keys; `duplicate_subnet` and `own_public_address` are two nodes at odds',
    ),
    counter('weft_lease_events_total', 'What the lease source said; ignored changed nothing', () =>
      byLabel('type', view.leaseCounts().events),
    ),
  ];
}

function leaseSource(view: NodeView): ReadMetric[] {
  return [
    gauge(
      'weft_lease_source_state',
      '1 for the state the lease source is in',
      () => {
        const now = view.leaseStatus().state;
        return SOURCE_STATES.map((state) => ({
          labels: { state },
          value: Number(state === now),
        }));
      },
      'forwarding goes on while `stale`, with the last leases; reach the source again',
    ),
    gauge(
      'weft_lease_last_sync_timestamp_seconds',
      'When the leases were last known to be current; 0 if never',
      () => single(view.leaseStatus().lastSyncSeconds),
    ),
    counter('weft_lease_resyncs_total', 'Whole lists read after the first', () =>
      single(view.leaseStatus().resyncs),
    ),
    counter(
      'weft_lease_source_failures_total',
      'Failed tries to reach the lease source',
      () => single(view.leaseStatus().failures),
      'the log says what failed: address, certificate, password, or an unreadable file',
    ),
  ];
}

/** A feature lives in either pump of a worker, and counts if no worker lacks or has lost it. */
export function capabilities(
  view: Pick<ForwarderView, 'pumps' | 'featureNames'>,
): Record<string, number> {
  const pumps = view.pumps();
  const workers = [...new Set(pumps.map((pump) => pump.worker))];
  const inForce = (name: string) =>
    workers.length > 0 &&
    pumps.every((pump) => !pump.lowered.includes(name)) &&
    workers.every((worker) =>
      pumps.some((pump) => pump.worker === worker && pump.features.includes(name)),
    );
  return Object.fromEntries(view.featureNames.map((name) => [name, Number(inForce(name))]));
}

/** Metrics of single pumps. `busy` is the share of a core in the last second. */
export function pumpMetrics(view: ForwarderView, busy: BusyRatios): ReadMetric[] {
  const read = (value: (pump: PumpView | undefined, key: string) => number) => (): Sample[] => {
    const pumps = view.pumps();
    return pumpKeys(view.workers).map(({ direction, worker }) => {
      const pump = pumps.find((one) => one.direction === direction && one.worker === worker);
      return { labels: { direction, worker }, value: value(pump, `${direction}${worker}`) };
    });
  };
  return [
    gauge(
      'weft_worker_busy_ratio',
      'Share of a core that the worker used in the last second',
      read((_, key) => busy.ratioOf(key)),
      'near 1 it is the limit: more `--workers`, up to one a core, and `--tx-ports` on its peers',
    ),
    counter(
      'weft_worker_cpu_seconds_total',
      'CPU time of the worker',
      read((pump) => pump?.cpuSeconds ?? 0),
    ),
    gauge(
      'weft_worker_heartbeat_age_seconds',
      'Time since the worker last woke; it wakes at least once a second',
      read((pump) => pump?.heartbeatAgeSeconds ?? 0),
      'from 5 s on /healthz is 503: the thread hangs; restart weft',
    ),
    gauge(
      'weft_socket_buffer_bytes',
      'Socket buffer that the kernel granted: sending for tx, receiving for rx',
      read((pump) => pump?.socketBufferBytes ?? 0),
      'raise `net.core.rmem_max` and `wmem_max` where it is small and `socket_overflow` grows',
    ),
  ];
}

function pumpKeys(workers: number): { direction: 'tx' | 'rx'; worker: number }[] {
  const numbers = Array.from({ length: workers }, (_, worker) => worker);
  return (['tx', 'rx'] as const).flatMap((direction) =>
    numbers.map((worker) => ({ direction, worker })),
  );
}

/** CPU time turned into shares of a core, from one sample to the next. */
export class BusyRatios {
  private readonly last = new Map<string, { cpuSeconds: number; at: number }>();
  private readonly ratios = new Map<string, number>();

  /** @param now in seconds on any steady clock */
  sample(pumps: readonly PumpView[], now: number): void {
    for (const { direction, worker, cpuSeconds } of pumps) {
      const key = `${direction}${worker}`;
      const before = this.last.get(key);
      if (before !== undefined && now > before.at) {
        this.ratios.set(key, (cpuSeconds - before.cpuSeconds) / (now - before.at));
      }
      this.last.set(key, { cpuSeconds, at: now });
    }
  }

  ratioOf(key: string): number {
    return this.ratios.get(key) ?? 0;
  }
}
