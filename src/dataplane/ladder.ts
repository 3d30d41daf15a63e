/**
 * The ladder of features: what this pump may use. A rung is lost at start, when the operator or the
 * kernel says no, or once at run time; it never comes back. Each pump reports its rungs to main,
 * which shows them as gauges and logs a loss.
 */
import { release } from 'node:os';
import { libc } from '../sys/binding.ts';
import { IPPROTO_UDP, UDP_GRO, UDP_SEGMENT } from '../sys/constants.ts';
import type { Queue, QueueWishes } from '../tun/device.ts';
import { openSocket, trySetOption } from '../udp/socket.ts';
import { kernelAtLeast, manglesEqualRuns } from './features.ts';
import {
  FEATURES,
  type Feature,
  PUMP_FEATURES,
  PUMP_LOWERED,
  pumpNumber,
  pumpSlot,
} from './messages.ts';
import type { PumpSetup } from './setup.ts';

export interface Ladder {
  has(feature: Feature): boolean;
  /** What the other pump of this worker reported before it lent its descriptor. */
  twinHas(feature: Feature): boolean;
  /** For an out pump: what to ask of the TUN, and what it gave. */
  queueWishes(): QueueWishes;
  queueOpened(queue: Queue): void;
  /** For an in pump: turns UDP_GRO on where it may be, and notes what is joined. */
  groOpened(socket: number): void;
  joining(wishes: { readonly tcp: boolean; readonly udp: boolean }): void;
  /** Gives a rung up at run time. */
  lower(feature: Feature): void;
}

/** @param kernel as `uname -r` */
export function createLadder(setup: PumpSetup, kernel = release()): Ladder {
  const { task } = setup;
  const control = new Int32Array(task.control);
  let bits = 0;
  let lowered = 0;
  const bit = (feature: Feature): number => 1 << FEATURES.indexOf(feature);
  const wanted = (feature: Feature): boolean => !task.disabled.includes(feature);

  function note(feature: Feature, there: boolean): void {
    if (there) bits |= bit(feature);
    else bits &= ~bit(feature);
    setup.report(PUMP_FEATURES, bits);
  }

  function twinHas(feature: Feature): boolean {
    const other = task.direction === 'tx' ? 'rx' : 'tx';
    const twin = pumpNumber(other, task.worker, task.workers);
    return (Atomics.load(control, pumpSlot(twin, PUMP_FEATURES)) & bit(feature)) !== 0;
  }

  function queueOpened(queue: Queue): void {
    note('tun_vnet_hdr', queue.vnetHeader);
    note('tun_tso', queue.tso);
    note('tun_uso', queue.uso);
    const trusted = task.forced.includes('udp_gso') || !manglesEqualRuns(kernel);
    note('udp_gso', wanted('udp_gso') && trusted && segmentsUdp(task.bindAddress));
  }

  return {
    has: (feature) => (bits & bit(feature)) !== 0,
    twinHas,
    queueWishes() {
      const vnetHeader = wanted('tun_vnet_hdr');
      return { vnetHeader, tso: wanted('tun_tso'), uso: wanted('tun_uso') };
    },
    queueOpened,
    groOpened(socket) {
      // Before 5.12 UDP_GRO could not even be read back and lost datagrams on odd kernels.
      const may = wanted('udp_gro') && kernelAtLeast(5, 12, kernel);
      note('udp_gro', may && trySetOption(socket, IPPROTO_UDP, UDP_GRO, 1) === 0);
      note('coalesce_tcp', wanted('coalesce_tcp'));
      note('coalesce_udp', wanted('coalesce_udp'));
    },
    joining(wishes) {
      note('coalesce_tcp', wishes.tcp);
      note('coalesce_udp', wishes.udp);
    },
    lower(feature) {
      lowered |= bit(feature);
      setup.report(PUMP_LOWERED, lowered);
      note(feature, false);
    },
  };
}

/** Whether the kernel knows UDP_SEGMENT (4.18): setting it to 0, off, succeeds only there. */
function segmentsUdp(address: string): boolean {
  const socket = openSocket(address, 0);
  const known = trySetOption(socket, IPPROTO_UDP, UDP_SEGMENT, 0) === 0;
  libc.close(socket);
  return known;
}
