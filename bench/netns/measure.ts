/** What is measured of one contender in one round: each row of the tables, bounded in time. */
import { readdirSync, readFileSync } from 'node:fs';
import { type FlowResult, type IperfJson, iperf } from '../../test/support/iperf.ts';
import { attempt, Background, runAside } from '../../test/support/process.ts';
import { inside } from '../../test/support/topology.ts';
import { waitFor } from '../../test/support/waitfor.ts';
import type { Path } from './contenders.ts';
import { searchRate } from './search.ts';

export interface Row {
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly digits: number;
  readonly better: 'more' | 'less';
}

const row =
  (better: Row['better']) =>
  (key: string, label: string, unit: string, digits: number): Row => ({
    ...{ key, label, unit, digits, better },
  });
const more = row('more');
const less = row('less');

export const ROWS: readonly Row[] = [
  more('tcp1', 'TCP, 1 flow', 'Gb/s', 2),
  more('tcp4', 'TCP, 4 flows', 'Gb/s', 2),
  more('bidir', 'TCP, both directions at once, sum', 'Gb/s', 2),
  more('udp64', 'UDP 64 byte, highest rate under 0.1 % loss', 'kpps', 1),
  more('udp1400', 'UDP 1400 byte, highest rate under 0.1 % loss', 'kpps', 1),
  less('cpuPerGigabyte', 'CPU of both dataplanes, TCP 1 flow', 's/GB', 2),
  less('cpuPerGigabyteHeld', 'CPU of both dataplanes, TCP held to 300 Mb/s', 's/GB', 2),
  less('cpuPerPacket', 'CPU of both dataplanes, UDP 64 byte at 40 kpps', 'µs/packet', 2),
  less('idle50', 'TCP ping-pong, idle, p50', 'µs', 0),
  less('idle99', 'TCP ping-pong, idle, p99', 'µs', 0),
  less('loaded50', 'TCP ping-pong beside 300 Mb/s of TCP, p50', 'µs', 0),
  less('loaded99', 'TCP ping-pong beside 300 Mb/s of TCP, p99', 'µs', 0),
  less('retransmits1', 'Retransmits, TCP 1 flow', 'per GB', 0),
  less('retransmits4', 'Retransmits, TCP 4 flows', 'per GB', 0),
];

/** Row key → value; a row that does not apply is absent. */
export type Values = Record<string, number>;

const LOSS_LIMIT = 0.001;
const FIXED_RATE = 40_000;
/** What every contender carries. */
const HELD_RATE = ['--bitrate', '300M'];
/** No userspace tunnel forwards more, and iperf3 itself offers less. */
const RATES = { lowest: 5_000, highest: 640_000, steps: 7 };
/** Kernels allow twice rmem_default where asked; bursts of small packets need it. */
const UDP_ARGUMENTS = ['--udp', '--pacing-timer', '250', '--window', '400K'];
const SOCKPERF_PORT = '11111';
/** sockperf leaves its first 400 ms out, and reports nothing at all after a run of one second. */
const SOCKPERF_SECONDS = 2;

/** Runs every row on a path that carries packets; a second of traffic first warms it up. */
export async function measure(path: Path, seconds: number): Promise<Values> {
  await iperf({ ...path, seconds: 1 });
  const values: Values = {};
  await measureTcp(path, seconds, values);
  await measureUdp(path, seconds, values);
  const idle = await pingPong(path, seconds);
  const load = iperf({ ...path, seconds: seconds + 3, args: HELD_RATE });
  // The load is awaited whatever becomes of the ping-pong, so that it cannot outlive this path.
  const [loaded] = await Promise.all([pingPong(path, seconds), load]);
  Object.assign(values, { idle50: idle.p50, idle99: idle.p99 });
  Object.assign(values, { loaded50: loaded.p50, loaded99: loaded.p99 });
  return values;
}

async function measureTcp(path: Path, seconds: number, values: Values): Promise<void> {
  const before = cpuSeconds(path.pids);
  const one = await iperf({ ...path, seconds });
  if (path.pids.length > 0) {
    const between = cpuSeconds(path.pids);
    values.cpuPerGigabyte = (between - before) / gigabytes(one);
    const held = await iperf({ ...path, seconds, args: HELD_RATE });
    values.cpuPerGigabyteHeld = (cpuSeconds(path.pids) - between) / gigabytes(held);
  }
  const four = await iperf({ ...path, seconds, args: ['--parallel', '4'] });
  const both = await iperf({ ...path, seconds, args: ['--bidir'] });
  values.tcp1 = one.bitsPerSecond / 1e9;
  values.tcp4 = four.bitsPerSecond / 1e9;
  values.bidir = (both.bitsPerSecond + reverseBitsPerSecond(both.json)) / 1e9;
  values.retransmits1 = one.retransmits / gigabytes(one);
  values.retransmits4 = four.retransmits / gigabytes(four);
}

async function measureUdp(path: Path, seconds: number, values: Values): Promise<void> {
  for (const size of [64, 1400]) {
    const best = await searchRate(RATES, async (rate) => {
      const { sent, received } = await udpRun(path, { size, rate, seconds: 1 });
      return received >= sent * (1 - LOSS_LIMIT) ? received : undefined;
    });
    values[`udp${size}`] = best / 1000;
  }
  if (path.pids.length === 0) return;
  const before = cpuSeconds(path.pids);
  const { received } = await udpRun(path, { size: 64, rate: FIXED_RATE, seconds });
  values.cpuPerPacket = ((cpuSeconds(path.pids) - before) * 1e6) / (received * seconds);
}

interface UdpRun {
  /** Payload bytes of a datagram. */
  readonly size: number;
  /** Datagrams a second. */
  readonly rate: number;
  readonly seconds: number;
}

/** Datagrams a second that were really sent and that arrived. */
async function udpRun(path: Path, flow: UdpRun): Promise<{ sent: number; received: number }> {
  const { size, rate, seconds } = flow;
  const bits = String(Math.round(rate * size * 8));
  const args = [...UDP_ARGUMENTS, '--length', String(size), '--bitrate', bits];
  const { packets, lostPackets } = await iperf({ ...path, seconds, args });
  return { sent: packets / seconds, received: (packets - lostPackets) / seconds };
}

function gigabytes(result: FlowResult): number {
  return result.bytes / 1e9;
}

interface BidirectionalEnd {
  readonly sum_received_bidir_reverse?: { readonly bits_per_second: number };
}

function reverseBitsPerSecond(json: IperfJson): number {
  const reverse = (json.end as BidirectionalEnd).sum_received_bidir_reverse;
  if (reverse === undefined) throw new Error('iperf3 --bidir reported no reverse direction');
  return reverse.bits_per_second;
}

/**
 * Time on a CPU of all threads that now run, to the nanosecond: the first field of schedstat
 * (proc(5)), where stat counts ticks of 10 ms. Dataplanes end no thread while they are measured.
 */
function cpuSeconds(pids: readonly number[]): number {
  const nanoseconds = pids.flatMap((pid) => {
    const threads = readdirSync(`/proc/${pid}/task`);
    const read = (thread: string) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8');
    return threads.map((thread) => Number(read(thread).split(' ')[0]));
  });
  return nanoseconds.reduce((a, b) => a + b, 0) / 1e9;
}

/** Round trips of 64-byte messages over one TCP connection, in microseconds. */
async function pingPong(path: Path, seconds: number): Promise<{ p50: number; p99: number }> {
  const target = ['--tcp', '--ip', path.address, '--port', SOCKPERF_PORT];
  const server = new Background(inside(path.server, ['sockperf', 'server', ...target]));
  try {
    await waitFor('sockperf to listen', () => {
      if (server.end) throw new Error(server.describe());
      const filter = ['sport', '=', `:${SOCKPERF_PORT}`];
      return attempt(inside(path.server, ['ss', '-Htln', ...filter])).stdout !== '';
    });
    const time = String(Math.max(seconds, SOCKPERF_SECONDS));
    const rest = ['--time', time, '--msg-size', '64', '--full-rtt', '--no-rdtsc'];
    const ran = await runAside(inside(path.client, ['sockperf', 'ping-pong', ...target, ...rest]));
    return { p50: percentile(ran.stdout, '50'), p99: percentile(ran.stdout, '99') };
  } finally {
    await server.stop('SIGKILL');
  }
}

function percentile(output: string, which: string): number {
  const found = new RegExp(`percentile ${which}\\.0+ =\\s+([\\d.]+)`).exec(output);
  if (found === null) throw new Error(`sockperf reported no percentile ${which}:\n${output}`);
  return Number(found[1]);
}
