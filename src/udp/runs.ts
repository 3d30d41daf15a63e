/**
 * Plans how waiting datagrams leave: pure, no kernel call.
 *
 *   datagram  one UDP payload; its bytes are named by consecutive iovecs
 *   outbox    the datagrams of a batch, those of a flow in the order they must leave
 *   run       neighbouring datagrams to one peer, equal in size but for a shorter last one: what
 *             one UDP_SEGMENT send can carry
 */

/**
 * The segments of eight full superpackets at an MSS of 256. A batch with more leaves in several
 * flushes, and so does one superpacket of a tiny MSS.
 */
export const OUTBOX_DATAGRAMS = 2048;
/** The most a UDP_SEGMENT send may carry over IPv4 (65,535 less IPv4 and UDP headers). */
export const RUN_BYTES = 65_507;

export interface Outbox {
  count: number;
  /** Next free iovec. */
  iovecs: number;
  /**
   * Of each datagram: bytes, where its peer's socket address stands (in words of the table), first
   * iovec, inner packet it came from.
   */
  readonly size: Int32Array;
  readonly peer: Int32Array;
  readonly firstIovec: Int32Array;
  readonly packet: Int32Array;
  /** Where its peer's traffic is counted. */
  readonly account: Int32Array;
  /** Outer TOS byte. */
  readonly typeOfService: Uint8Array;
  /** Which of the node's sending sockets. */
  readonly lane: Uint8Array;
}

export interface Runs {
  count: number;
  /** Of each run: first datagram, how many, bytes together. */
  readonly first: Int32Array;
  readonly length: Int32Array;
  readonly bytes: Int32Array;
}

export interface RunLimits {
  /** Datagrams a run: 1 where UDP_SEGMENT is off. */
  datagrams: number;
}

export function createOutbox(): Outbox {
  return {
    count: 0,
    iovecs: 0,
    size: new Int32Array(OUTBOX_DATAGRAMS),
    peer: new Int32Array(OUTBOX_DATAGRAMS),
    firstIovec: new Int32Array(OUTBOX_DATAGRAMS + 1),
    packet: new Int32Array(OUTBOX_DATAGRAMS),
    account: new Int32Array(OUTBOX_DATAGRAMS),
    typeOfService: new Uint8Array(OUTBOX_DATAGRAMS),
    lane: new Uint8Array(OUTBOX_DATAGRAMS),
  };
}

export function createRuns(): Runs {
  return {
    count: 0,
    first: new Int32Array(OUTBOX_DATAGRAMS),
    length: new Int32Array(OUTBOX_DATAGRAMS),
    bytes: new Int32Array(OUTBOX_DATAGRAMS),
  };
}

/** Groups the outbox's datagrams from `from` on into runs, keeping their order. */
export function planRuns(outbox: Outbox, from: number, limits: RunLimits, runs: Runs): void {
  const end = outbox.count;
  let count = 0;
  for (let next = from; next < end; count++) {
    const length = runLength(outbox, next, end, limits.datagrams);
    runs.first[count] = next;
    runs.length[count] = length;
    // All but the last are as long as the first.
    runs.bytes[count] = outbox.size[next] * (length - 1) + outbox.size[next + length - 1];
    next += length;
  }
  runs.count = count;
}

function runLength(outbox: Outbox, first: number, end: number, most: number): number {
  const { size, peer, typeOfService, lane } = outbox;
  const whole = size[first];
  const byBytes = (RUN_BYTES / whole) | 0;
  const limit = Math.min(end - first, most, byBytes > 0 ? byBytes : 1);
  let length = 1;
  while (length < limit) {
    const next = first + length;
    if (size[next] > whole || peer[next] !== peer[first]) break;
    if (typeOfService[next] !== typeOfService[first] || lane[next] !== lane[first]) break;
    length++;
    if (size[next] < whole) break;
  }
  return length;
}
