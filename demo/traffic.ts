/** What the demo sends through the overlay, and what counts as success. */
import { type Flow, iperf } from '../test/support/iperf.ts';
import { runAside } from '../test/support/process.ts';
import { inside, type PodSpace } from '../test/support/topology.ts';
import type { Outcome } from './screen.ts';

const FLOW_SECONDS = 3;
/** For the last echo to come back, on a machine that may have much else to do. */
const PATIENCE_SECONDS = '5';
/** IPv4 (20) and ICMP (8) headers around the payload that ping -s counts. */
const PING_HEADERS = 28;
/**
 * Far below what any machine can do. A busy one may still lose bursts at iperf3's own socket, which
 * holds a tenth of a second; a path that does not work loses all.
 */
const UDP_RATE = '10M';
const UDP_LOSS_LIMIT_PERCENT = 50;

/** Ten echoes from one pod to another; every one must come back. */
export async function pingPods(from: PodSpace, to: PodSpace): Promise<Outcome> {
  const what = `ping ${from.address} → ${to.address}`;
  const { stdout } = await ping(from, to, ['-c', '10', '-i', '0.05']);
  const [, sent, back] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  const [, average] = /= [\d.]+\/([\d.]+)\//.exec(stdout) ?? [];
  const good = sent !== undefined && sent === back;
  return { what, result: `${back ?? 0} of ${sent ?? 0} back, ${average ?? '?'} ms average`, good };
}

/** Packets of exactly `length` bytes with DF: they pass, or the sender is told the MTU. */
export async function pingLength(
  from: PodSpace,
  to: PodSpace,
  length: number,
  passes: boolean,
): Promise<Outcome> {
  const what = `${length}-byte packets, DF set`;
  const size = ['-M', 'do', '-s', `${length - PING_HEADERS}`];
  const { status, stdout, stderr } = await ping(from, to, ['-c', '3', '-i', '0.05', ...size]);
  const mtu = /mtu[ =](\d+)/.exec(`${stdout}${stderr}`)?.[1];
  if (status === 0) return { what, result: 'pass', good: passes };
  const result = mtu ? `refused, sender told: MTU ${mtu}` : 'lost without a word';
  return { what, result, good: !passes && mtu === `${length - 1}` };
}

/** The same length without DF: fragments, put together again in the pod. */
export async function pingFragmented(
  from: PodSpace,
  to: PodSpace,
  length: number,
): Promise<Outcome> {
  const size = ['-M', 'dont', '-s', `${length - PING_HEADERS}`];
  const { status } = await ping(from, to, ['-c', '3', '-i', '0.05', ...size]);
  const good = status === 0;
  return { what: `${length}-byte packets, DF clear`, result: good ? 'pass, in two' : 'lost', good };
}

function ping(from: PodSpace, to: PodSpace, options: readonly string[]) {
  return runAside(
    inside(from.namespace, ['ping', '-n', '-W', PATIENCE_SECONDS, ...options, to.address]),
  );
}

export async function tcpFlow(from: PodSpace, to: PodSpace): Promise<Outcome> {
  const { bitsPerSecond, retransmits } = await iperf(flow(from, to, []));
  return {
    what: `TCP, 1 flow, ${from.address} → ${to.address}`,
    result: `${rate(bitsPerSecond)}, ${retransmits} retransmits`,
    good: bitsPerSecond > 0,
  };
}

/** Datagrams at a modest fixed rate, filling the MTU. */
export async function udpFlow(from: PodSpace, to: PodSpace, mtu: number): Promise<Outcome> {
  const payload = `${mtu - PING_HEADERS}`;
  const args = ['--udp', '--bitrate', UDP_RATE, '--length', payload];
  const { bitsPerSecond, packets, lostPackets } = await iperf(flow(from, to, args));
  const loss = packets === 0 ? 100 : (100 * lostPackets) / packets;
  return {
    what: `UDP, ${mtu}-byte packets, ${from.address} → ${to.address}`,
    result: `${rate(bitsPerSecond)}, ${lostPackets} of ${packets} lost`,
    good: loss <= UDP_LOSS_LIMIT_PERCENT,
  };
}

function flow(from: PodSpace, to: PodSpace, args: readonly string[]): Flow {
  const { namespace: client } = from;
  return { client, server: to.namespace, address: to.address, seconds: FLOW_SECONDS, args };
}

function rate(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1e9) return `${(bitsPerSecond / 1e9).toFixed(2)} Gb/s`;
  return `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s`;
}
