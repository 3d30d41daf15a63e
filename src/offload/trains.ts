/**
 * The trains of a batch, as columns of numbers by train; what joins them is coalesce.ts.
 *
 *   train   packets that arrived in a batch and leave in one write; most often just one packet
 *   slice   payload of one segment behind the first, left where it was received
 *   open    a train that may still grow; a sealed one only keeps its place in the order
 */
import { TCP_PSH } from '../wire/tcp.ts';

/** Trains of one batch. */
export const TRAINS = 128;
/** Packets of one train: UDP_MAX_SEGMENTS of kernels before 6.9; TCP reaches 64 KiB sooner. */
export const TRAIN_PACKETS = 64;
/** The longest IPv4 packet. */
const TRAIN_BYTES = 65_535;

/** No train. */
export const NO_TRAIN = -1;

/** Slices lie in rows of TRAIN_PACKETS. */
export interface Trains {
  count: number;
  readonly at: Int32Array;
  /** Bytes of the first packet, of all headers, and of the payload of all packets. */
  readonly firstLength: Int32Array;
  readonly header: Int32Array;
  readonly payload: Int32Array;
  readonly packets: Int32Array;
  /** Payload of each packet but the last. */
  readonly size: Int32Array;
  readonly isTcp: Uint8Array;
  readonly sliceAt: Int32Array;
  readonly sliceLength: Int32Array;
  /** What the train's next packet must carry, where it matters. */
  readonly nextSequence: Int32Array;
  readonly nextIdentification: Int32Array;
  readonly open: Uint8Array;
  /** 1 once the first packet's transport checksum was found right. */
  readonly verified: Uint8Array;
  /** 1 where the packets of a UDP train carry no checksum. */
  readonly unchecked: Uint8Array;
  /** TCP flags of the packet that joined last. */
  readonly lastFlags: Uint8Array;
  /** The train that the packet before this one joined; NO_TRAIN where it began one. */
  growing: number;
}

export function createTrains(): Trains {
  return {
    count: 0,
    at: new Int32Array(TRAINS),
    firstLength: new Int32Array(TRAINS),
    header: new Int32Array(TRAINS),
    payload: new Int32Array(TRAINS),
    packets: new Int32Array(TRAINS),
    size: new Int32Array(TRAINS),
    isTcp: new Uint8Array(TRAINS),
    sliceAt: new Int32Array(TRAINS * TRAIN_PACKETS),
    sliceLength: new Int32Array(TRAINS * TRAIN_PACKETS),
    nextSequence: new Int32Array(TRAINS),
    nextIdentification: new Int32Array(TRAINS),
    open: new Uint8Array(TRAINS),
    verified: new Uint8Array(TRAINS),
    unchecked: new Uint8Array(TRAINS),
    lastFlags: new Uint8Array(TRAINS),
    growing: NO_TRAIN,
  };
}

/** Begins a new batch. */
export function clearTrains(trains: Trains): void {
  trains.count = 0;
  trains.growing = NO_TRAIN;
}

/** Whether the train has room for `payload` bytes more, no longer than its segments are. */
export function fits(trains: Trains, train: number, payload: number): boolean {
  return (
    payload <= trains.size[train] &&
    trains.packets[train] < TRAIN_PACKETS &&
    trains.header[train] + trains.payload[train] + payload <= TRAIN_BYTES
  );
}

/** Adds the packet at `at`, which was found to fit; `flags` are those of TCP, 0 for UDP. */
export function join(
  trains: Trains,
  train: number,
  at: number,
  payload: number,
  flags: number,
): void {
  const slice = train * TRAIN_PACKETS + trains.packets[train] - 1;
  trains.sliceAt[slice] = at + trains.header[train];
  trains.sliceLength[slice] = payload;
  trains.packets[train]++;
  trains.payload[train] += payload;
  trains.nextSequence[train] += payload;
  trains.nextIdentification[train] = (trains.nextIdentification[train] + 1) & 0xffff;
  trains.lastFlags[train] = flags;
  // A shorter segment is the last that a train may hold, and so is one with PSH.
  if (payload < trains.size[train] || (flags & TCP_PSH) !== 0) trains.open[train] = 0;
  trains.growing = train;
}
