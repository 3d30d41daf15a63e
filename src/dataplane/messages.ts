/**
 * What main hands a pump, and the shared slots through which they talk afterwards: a pump blocks in
 * poll(2) and never turns Node's event loop, so no message could reach it. Nothing else knows the
 * slot numbers. Each slot has one writer while pumps run; main clears descriptors in the end.
 */
import type { PublicationMemory } from '../forwarding/publication.ts';

/** Whose packets are let in: see `decap.ts`. */
export type Accept = 'strict' | 'peer' | 'any';
/** `keep` leaves the inner TTL to the kernels; `flannel` lowers it at both ends, as flanneld. */
export type TimeToLiveMode = 'keep' | 'flannel';

/** Rungs of the ladder, in the order in which they are reported. */
export const FEATURES = [
  'tun_vnet_hdr',
  'tun_tso',
  'tun_uso',
  'udp_gso',
  'udp_gro',
  'coalesce_tcp',
  'coalesce_udp',
] as const;
export type Feature = (typeof FEATURES)[number];

/** Everything a pump is told; plain data, structured-cloned once. */
export interface PumpTask {
  readonly direction: 'tx' | 'rx';
  /** Which queue or socket, 0 to workers - 1. */
  readonly worker: number;
  readonly workers: number;
  readonly device: string;
  readonly mtu: number;
  /** Underlay address that sockets bind to, as text. */
  readonly bindAddress: string;
  readonly port: number;
  readonly accept: Accept;
  readonly timeToLive: TimeToLiveMode;
  /** Features switched off by the operator. */
  readonly disabled: readonly Feature[];
  /** Features asked for by name: in use even where a rule, not the kernel itself, says no. */
  readonly forced: readonly Feature[];
  /** Source ports of the node; above 1 they are others than the well-known one. */
  readonly txPorts: number;
  /** Outer DSCP: -1 copies the inner one, else 0 to 63. */
  readonly dscp: number;
  /** Microseconds to poll without sleeping before blocking; 0 blocks at once. */
  readonly busyPoll: number;
  readonly control: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  /** Every pump's accounts, ACCOUNT_BLOCK doubles each. */
  readonly accounts: SharedArrayBuffer;
  /** Every pump's tap, RING_BYTES each. */
  readonly taps: SharedArrayBuffer;
  readonly publication: PublicationMemory;
}

/** How a pump's task ends; `reason` is a sentence for the log, absent after an ordered stop. */
export interface PumpEnd {
  readonly reason?: string;
}

/** Written by main: 1 asks every pump to end. */
export const STOP = 0;
/**
 * Sockets that every out pump sends by where there is more than one source port; -1 before. The
 * first out pump opens them, and main closes them in the end.
 */
export const LANES = 8;
export const MOST_LANES = 16;
const PUMP_SLOTS = LANES + MOST_LANES;
const PUMP_STRIDE = 16;

/** Written by the pump: 0 starting, 1 has its descriptor, 2 ended. */
export const PUMP_STATE = 0;
/** The eventfd that ends the pump's wait; -1 before it exists. */
export const PUMP_WAKE = 1;
/** What it lends its twin, -1 before: the out pump its TUN queue, the in pump its socket. */
export const PUMP_QUEUE = 2;
/** Goes up at every wake, at least once a second. */
export const PUMP_HEARTBEAT = 3;
/** Kernel thread id, for CPU time from /proc. */
export const PUMP_THREAD = 4;
/** Bit set of FEATURES in force. */
export const PUMP_FEATURES = 5;
/** Bytes the kernel granted for the socket buffer this pump lives on. */
export const PUMP_SOCKET_BUFFER = 6;
/** Bit set of FEATURES that were in force and that the kernel refused at run time. */
export const PUMP_LOWERED = 7;

export const STATE_STARTING = 0;
export const STATE_READY = 1;
export const STATE_ENDED = 2;

/** Pumps are numbered: out pumps 0 to N - 1, in pumps N to 2N - 1. */
export function pumpNumber(direction: 'tx' | 'rx', worker: number, workers: number): number {
  return direction === 'tx' ? worker : workers + worker;
}

export function pumpSlot(pump: number, slot: number): number {
  return PUMP_SLOTS + pump * PUMP_STRIDE + slot;
}

export function controlBytes(pumps: number): number {
  return 4 * (PUMP_SLOTS + pumps * PUMP_STRIDE);
}
