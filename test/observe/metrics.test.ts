import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { NO_COUNTS, NO_STATUS } from '../../src/agent/peers.ts';
import * as slots from '../../src/dataplane/counters.ts';
import { FEATURES } from '../../src/dataplane/messages.ts';
import { KERNEL_COUNTERS } from '../../src/observe/drops/kernel.ts';
import { createMetrics, type PacketsView, unhealthyPumps } from '../../src/observe/metrics.ts';
import { BusyRatios, type NodeView, type PumpView } from '../../src/observe/node-metrics.ts';

type MetricsView = PacketsView & NodeView;

const BUILD = { version: '1.2.3', node: '20.0.0', binding: 'koffi 3', kernel: '6.1' };
const WORKERS = 2;

/** A node that is still waiting for its settings: no pumps, no device. */
function emptyView(): MetricsView {
  return {
    counters: [],
    workers: WORKERS,
    publications: 0,
    deviceUp: false,
    recreations: 0,
    mtu: { inner: 0, underlay: 0 },
    featureNames: FEATURES,
    tunQueueDrops: () => 0,
    kernelCounts: () => new Map(),
    pumps: () => [],
    notReady: () => ['starting'],
    leaseCounts: () => NO_COUNTS,
    leaseStatus: () => NO_STATUS,
  };
}

function blocks(): slots.PumpCounters[] {
  return (['tx', 'rx'] as const).flatMap((direction) =>
    Array.from({ length: WORKERS }, (_, worker) => ({
      direction,
      worker,
      values: new Float64Array(new SharedArrayBuffer(slots.BLOCK_SLOTS * 8)),
    })),
  );
}

function pump(direction: 'tx' | 'rx', worker: number, rest: Partial<PumpView> = {}): PumpView {
  return {
    direction,
    worker,
    heartbeatAgeSeconds: 0,
    hangsSeconds: 0,
    cpuSeconds: 0,
    features: [],
    lowered: [],
    socketBufferBytes: 0,
    ...rest,
  };
}

async function textOf(view: MetricsView): Promise<string> {
  const metrics = createMetrics({ view, packets: view, build: BUILD, logWriteErrors: () => 7 });
  metrics.stop();
  return await metrics.text();
}

async function seriesOf(view: MetricsView): Promise<Map<string, number>> {
  const lines = (await textOf(view)).split('\n').filter((line) => /^[a-z]/.test(line));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

const both = ['tx', 'rx'] as const;
const DROPS = { tx: slots.TX_DROPS, rx: slots.RX_DROPS };
const CALLS = { tx: slots.TX_CALLS, rx: slots.RX_CALLS };

/** Every series that must be there before anything happened. */
const PRESENT = [
  ...both.flatMap((direction) => [
    `weft_packets_total{direction="${direction}"}`,
    `weft_bytes_total{direction="${direction}",layer="inner"}`,
    `weft_bytes_total{direction="${direction}",layer="outer"}`,
    `weft_datagrams_total{direction="${direction}"}`,
    `weft_superpackets_total{direction="${direction}"}`,
    ...DROPS[direction].map(
      ([, reason]) => `weft_dropped_packets_total{direction="${direction}",reason="${reason}"}`,
    ),
    ...CALLS[direction].flatMap(([, call]) =>
      slots.CALL_RESULTS.map(
        (result) =>
          `weft_syscalls_total{direction="${direction}",call="${call}",result="${result}"}`,
      ),
    ),
    ...['batch_packets', 'run_datagrams', 'superpacket_segments'].flatMap((name) => [
      `weft_${name}_bucket{le="1",direction="${direction}"}`,
      `weft_${name}_bucket{le="1024",direction="${direction}"}`,
      `weft_${name}_bucket{le="+Inf",direction="${direction}"}`,
      `weft_${name}_sum{direction="${direction}"}`,
      `weft_${name}_count{direction="${direction}"}`,
    ]),
    ...[0, 1].flatMap((worker) =>
      ['worker_cpu_seconds_total', 'worker_busy_ratio', 'socket_buffer_bytes'].map(
        (name) => `weft_${name}{direction="${direction}",worker="${worker}"}`,
      ),
    ),
  ]),
  'weft_dropped_packets_total{direction="tx",reason="tun_queue_full"}',
  'weft_dropped_packets_total{direction="rx",reason="bad_udp_checksum"}',
  ...KERNEL_COUNTERS.map((counter) => `weft_kernel_drops_total{counter="${counter}"}`),
  ...slots.ICMP_SENT.map(([, type]) => `weft_icmp_sent_total{type="${type}"}`),
  'weft_icmp_suppressed_total',
  'weft_probes_dropped_total{direction="tx"}',
  'weft_probes_dropped_total{direction="rx"}',
  'weft_sentinel_datagrams_total',
  'weft_outer_fragmented_packets_total',
  ...FEATURES.map((feature) => `weft_capability{feature="${feature}"}`),
  ...['peer', 'ignored', 'refused'].map((state) => `weft_leases{state="${state}"}`),
  ...Object.keys(NO_COUNTS.refused).map((reason) => `weft_lease_refused{reason="${reason}"}`),
  ...Object.keys(NO_COUNTS.events).map((type) => `weft_lease_events_total{type="${type}"}`),
  ...['synced', 'stale'].map((state) => `weft_lease_source_state{state="${state}"}`),
  'weft_lease_last_sync_timestamp_seconds',
  'weft_lease_resyncs_total',
  'weft_lease_source_failures_total',
  'weft_table_publications_total',
  'weft_device_up',
  'weft_ready',
  'weft_mtu_bytes{layer="inner"}',
  'weft_mtu_bytes{layer="underlay"}',
];

describe('metrics', () => {
  test('are all there at 0 before anything happened', async () => {
    const series = await seriesOf(emptyView());
    for (const name of PRESENT) assert.equal(series.get(name), 0, name);
    assert.equal(series.get('weft_workers'), WORKERS);
    assert.equal(series.get('weft_lease_source_state{state="connecting"}'), 1);
    assert.equal(series.get('weft_log_write_errors_total'), 7);
    const build = 'version="1.2.3",node="20.0.0",binding="koffi 3",kernel="6.1"';
    assert.equal(series.get(`weft_build_info{${build}}`), 1);
  });

  test('follow the text format line by line, with help and units in the names', async () => {
    const text = await textOf({ ...emptyView(), counters: blocks() });
    let family = '';
    let type = '';
    for (const line of text.split('\n').filter(Boolean)) {
      const head = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
      if (head?.[1] === 'HELP') {
        family = head[2]!;
        assert.match(family, /^weft_[a-z_]+[a-z]$/);
        assert.ok(head[3]!.length >= 10, `${family} has no help`);
      } else if (head !== null) {
        assert.equal(head[2], family);
        type = head[3]!;
        assert.match(type, /^(counter|gauge|histogram)$/);
        assert.equal(type === 'counter', family.endsWith('_total'), `${family} is a ${type}`);
      } else {
        const pattern = /^([a-z_]+)(\{([a-z]+="[^"\\\n]*",?)+\})? (\d+(\.\d+)?(e[+-]\d+)?)$/;
        const sample = pattern.exec(line);
        assert.ok(sample, `not a sample: ${line}`);
        const suffix = sample[1]!.slice(family.length);
        assert.ok(sample[1]!.startsWith(family), `${line} under ${family}`);
        assert.match(suffix, type === 'histogram' ? /^_(bucket|sum|count)$/ : /^$/);
      }
    }
  });

  test('have no series twice', async () => {
    const text = await textOf({ ...emptyView(), counters: blocks() });
    const names = text.split('\n').filter((line) => /^[a-z]/.test(line));
    const keys = names.map((line) => line.slice(0, line.lastIndexOf(' ')));
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(keys.length < 500, `${keys.length} series are too many for one node`);
  });

  test('add up the workers of a direction and keep directions apart', async () => {
    const counters = blocks();
    for (const { direction, worker, values } of counters) {
      values[slots.PACKETS] = direction === 'tx' ? 10 + worker : 1;
      values[slots.TX_NO_ROUTE] += direction === 'tx' ? 5 : 0;
    }
    const series = await seriesOf({ ...emptyView(), counters, tunQueueDrops: () => 3 });
    assert.equal(series.get('weft_packets_total{direction="tx"}'), 21);
    assert.equal(series.get('weft_packets_total{direction="rx"}'), 2);
    const drops = (label: string) =>
      series.get(`weft_dropped_packets_total{direction="tx",reason="${label}"}`);
    assert.deepEqual([drops('no_route'), drops('tun_queue_full')], [10, 3]);
  });

  test('show a histogram as Prometheus counts it: from below', async () => {
    const counters = blocks();
    const observed = [1, 1, 2, 3, 4, 64, 1025, 5000];
    for (const value of observed) {
      slots.observe(counters[value % 2]!.values, slots.BATCH_HISTOGRAM, value);
    }
    const series = await seriesOf({ ...emptyView(), counters });
    const below = (le: string) =>
      series.get(`weft_batch_packets_bucket{le="${le}",direction="tx"}`);
    const counts = ['1', '2', '4', '32', '64', '1024', '+Inf'].map(below);
    assert.deepEqual(counts, [2, 3, 5, 5, 6, 6, 8]);
    const sum = observed.reduce((a, b) => a + b);
    assert.equal(series.get('weft_batch_packets_sum{direction="tx"}'), sum);
    assert.equal(series.get('weft_batch_packets_count{direction="tx"}'), 8);
  });

  test('call a feature in force only if no worker lacks or has lost it', async () => {
    const pumps = [
      pump('tx', 0, { features: ['tun_tso', 'udp_gso', 'tun_vnet_hdr'] }),
      pump('tx', 1, { features: ['tun_tso', 'udp_gso'], lowered: ['udp_gso'] }),
      pump('rx', 0, { features: ['udp_gro'] }),
      pump('rx', 1, { features: ['udp_gro'] }),
    ];
    const series = await seriesOf({ ...emptyView(), pumps: () => pumps });
    const on = FEATURES.filter((name) => series.get(`weft_capability{feature="${name}"}`) === 1);
    assert.deepEqual(on, ['tun_tso', 'udp_gro']);
  });

  test('tell ignored leases from refused ones', async () => {
    const refused = { ...NO_COUNTS.refused, other_backend: 4, bad_value: 2, outside_network: 1 };
    const leaseCounts = () => ({ ...NO_COUNTS, peers: 9, refused });
    const series = await seriesOf({ ...emptyView(), leaseCounts });
    const states = ['peer', 'ignored', 'refused'];
    const counts = states.map((state) => series.get(`weft_leases{state="${state}"}`));
    assert.deepEqual(counts, [9, 4, 3]);
  });
});

describe('busy ratios', () => {
  test('are CPU time over time, per pump', () => {
    const busy = new BusyRatios();
    busy.sample([pump('tx', 0, { cpuSeconds: 1 })], 10);
    assert.equal(busy.ratioOf('tx0'), 0);
    busy.sample([pump('tx', 0, { cpuSeconds: 1.5 })], 12);
    assert.equal(busy.ratioOf('tx0'), 0.25);
    assert.equal(busy.ratioOf('rx0'), 0);
  });
});

describe('health', () => {
  test('names the pumps that no longer turn', () => {
    const pumps = [
      pump('tx', 0, { heartbeatAgeSeconds: 99, hangsSeconds: 4.9 }),
      pump('rx', 1, { heartbeatAgeSeconds: 61.25, hangsSeconds: 61.25 }),
    ];
    assert.deepEqual(unhealthyPumps(pumps), ['rx worker 1 hangs: last heartbeat 61.3 s ago']);
    assert.deepEqual(unhealthyPumps([]), []);
  });
});
