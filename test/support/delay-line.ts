/**
 * A path that takes its time: every packet between two links of a router waits, in order. This file
 * is also the program that holds the packets back, for TUN devices belong to the namespace that a
 * process runs in:
 *
 *   first link ─▶ delay0 ─▶ this program, DELAY_MS later ─▶ delay1 ─▶ second link, and back
 *
 * The TUN devices take superpackets, so that runs of datagrams cross as they were sent.
 */
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { libc } from '../../src/sys/binding.ts';
import { POLLIN } from '../../src/sys/constants.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import { POLLFD_EVENTS, POLLFD_FD, POLLFD_SIZE } from '../../src/sys/struct.ts';
import { openQueue } from '../../src/tun/device.ts';
import { createTunReader } from '../../src/tun/read.ts';
import { VIRTIO_HEADER_LENGTH } from '../../src/wire/virtio.ts';
import { Background, run } from './process.ts';
import { inside, ip } from './topology.ts';

export const DELAY_MS = 20;
const DEVICES = ['delay0', 'delay1'] as const;
/** Packets that may wait for the program to be scheduled: all that senders have in flight here. */
const QUEUE_LENGTH = 20_000;

/** Puts the delay between two links of a router; the program ends with its namespace. */
export async function delayBetween(
  namespace: string,
  links: readonly [string, string],
): Promise<Background> {
  run(inside(namespace, ['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0']));
  for (const [i, device] of DEVICES.entries()) {
    const table = 100 + i;
    ip(
      namespace,
      `tuntap add ${device} mode tun multi_queue
       link set ${device} mtu 1500 txqueuelen ${QUEUE_LENGTH} up
       rule add iif ${links[i]} table ${table}
       route add default dev ${device} table ${table}\n`,
    );
    run(inside(namespace, ['sysctl', '-qw', `net.ipv4.conf.${device}.rp_filter=0`]));
  }
  const program = [process.execPath, fileURLToPath(import.meta.url)];
  const running = new Background(inside(namespace, program));
  await running.waitForOutput(/delaying/);
  return running;
}

/** What the TUN devices of the delay dropped because the program was too slow. */
export function delayDrops(namespace: string): number {
  const drops = DEVICES.map((device) => {
    const file = `/sys/class/net/${device}/statistics/tx_dropped`;
    return Number(run(inside(namespace, ['cat', file])));
  });
  return drops.reduce((a, b) => a + b, 0);
}

interface Waiting {
  readonly due: number;
  readonly bytes: Uint8Array;
}

/** One way: what one queue gave, for the other. */
interface Way {
  readonly from: number;
  drain(now: number): void;
  /** Lets go what is due; returns when the next one is, if any. */
  release(now: number): number | undefined;
}

function createWay(from: number, to: number): Way {
  const slab = createSlab(1024 * 1024);
  const reader = createTunReader(slab, layOut(slab), from, true);
  let waiting: Waiting[] = [];
  return {
    from,
    drain(now) {
      const count = reader.drain();
      for (let i = 0; i < count; i++) {
        const [start, end] = [reader.at[i] - VIRTIO_HEADER_LENGTH, reader.at[i] + reader.length[i]];
        waiting.push({ due: now + DELAY_MS, bytes: slab.bytes.slice(start, end) });
      }
    },
    release(now) {
      const late = waiting.findIndex(({ due }) => due > now);
      const count = late < 0 ? waiting.length : late;
      for (const { bytes } of waiting.slice(0, count)) writeSync(to, bytes);
      waiting = waiting.slice(count);
      return waiting[0]?.due;
    },
  };
}

/** Turns until it is killed. */
function main(): void {
  const wishes = { vnetHeader: true, tso: true, uso: true };
  const [first, second] = DEVICES.map((device) => openQueue(device, wishes).fd);
  const ways = [createWay(first!, second!), createWay(second!, first!)];
  const polled = new Uint8Array(ways.length * POLLFD_SIZE);
  const view = new DataView(polled.buffer);
  for (const [i, { from }] of ways.entries()) {
    view.setInt32(i * POLLFD_SIZE + POLLFD_FD, from, true);
    view.setInt16(i * POLLFD_SIZE + POLLFD_EVENTS, POLLIN, true);
  }
  process.stdout.write('delaying\n');
  for (;;) {
    const dues = ways.map((way) => way.release(performance.now()) ?? Number.POSITIVE_INFINITY);
    const next = Math.min(...dues);
    const patience = Math.ceil(next - performance.now());
    libc.poll(polled, ways.length, next === Number.POSITIVE_INFINITY ? -1 : Math.max(0, patience));
    for (const way of ways) way.drain(performance.now());
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
