/**
 * A pump's end of its tap. While nobody listens it costs one load a breath and one comparison a
 * packet; while somebody does, a packet that matches is copied into the ring, or counted as lost
 * where the ring is full: the packet itself never waits.
 */
import { familyOf, SOCKADDR_WORDS, sameHost } from '../../sys/sockaddr.ts';
import { readUint16 } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ring from './ring.ts';

/** No room for another record. */
const FULL = -1;
/** Clocks further apart than reading the two takes were set, not read late. */
const CLOCK_SET_MS = 20;

export interface Tap {
  /** MODE as of this breath; ask `mode !== 0` before calling what follows. */
  mode: number;
  /** Once a breath: whether somebody listens, and to what. */
  refresh(): void;
  /**
   * A packet that goes its way; `segment` as RECORD_SEGMENT. The peer's socket address stands in
   * `names` at `peer`: in the table, or where it was received.
   */
  packet(at: number, length: number, segment: number, names: Int32Array, peer: number): void;
  /** A packet that does not, and the counter slot that says why. */
  drop(reason: number, at: number, length: number, names: Int32Array, peer: number): void;
}

export function createTap(bytes: Uint8Array, memory: SharedArrayBuffer, offset: number): Tap {
  const words = new Int32Array(memory, offset, ring.RING_BYTES / 4);
  const kept = new Uint8Array(memory, offset, ring.RING_BYTES);
  const times = new Float64Array(memory, offset, ring.RING_BYTES / 8);
  const packets = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tap: Tap = { mode: 0, refresh, packet, drop };
  let every = 1;
  let dropsEvery = 1;
  let skipped = 0;
  let skippedDrops = 0;
  let position = 0;
  let origin = performance.timeOrigin;

  function refresh(): void {
    const before = tap.mode;
    tap.mode = words[ring.MODE];
    if (tap.mode === 0) return;
    every = words[ring.EVERY];
    dropsEvery = words[ring.DROPS_EVERY];
    if (before === 0) followClock();
  }

  /** The wall clock may have been set since this thread began; our own runs on as it was. */
  function followClock(): void {
    const now = Date.now() - performance.now();
    if (Math.abs(now - origin) > CLOCK_SET_MS) origin = now;
  }

  function packet(
    at: number,
    length: number,
    segment: number,
    names: Int32Array,
    peer: number,
  ): void {
    if ((tap.mode & ring.MODE_PACKETS) === 0) return;
    if (++skipped < every || !matches(at, length, names, peer)) return;
    skipped = 0;
    const record = keep(at, length, names, peer);
    if (record !== FULL) finish(record, ring.NOT_DROPPED, segment);
  }

  function drop(reason: number, at: number, length: number, names: Int32Array, peer: number): void {
    if ((tap.mode & ring.MODE_DROPS) === 0) return;
    if (++skippedDrops < dropsEvery || !matches(at, length, names, peer)) return;
    skippedDrops = 0;
    const record = keep(at, length, names, peer);
    if (record !== FULL) finish(record, reason, 0);
  }

  /** What cannot be read does not match a filter that would have to read it. */
  function matches(at: number, length: number, names: Int32Array, peer: number): boolean {
    const anyPeer = familyOf(words, ring.PEER) === 0;
    if (!anyPeer && !sameHost(words, ring.PEER, names, peer)) return false;
    const mask = words[ring.NETWORK_MASK];
    const protocol = words[ring.PROTOCOL];
    const port = words[ring.PORT];
    if (mask === 0 && protocol === 0 && port === 0) return true;
    if (length < ipv4.IPV4_HEADER_MINIMUM || ipv4.version(bytes, at) !== 4) return false;
    if (mask !== 0) {
      const network = words[ring.NETWORK];
      const fromIt = ((ipv4.source(bytes, at) ^ network) & mask) === 0;
      if (!fromIt && ((ipv4.destination(bytes, at) ^ network) & mask) !== 0) return false;
    }
    if (protocol !== 0 && ipv4.protocol(bytes, at) !== protocol) return false;
    return port === 0 || hasPort(at, length, port);
  }

  function hasPort(at: number, length: number, port: number): boolean {
    const kind = ipv4.protocol(bytes, at);
    if (kind !== ipv4.PROTOCOL_TCP && kind !== ipv4.PROTOCOL_UDP) return false;
    if ((ipv4.fragmentField(bytes, at) & ipv4.IPV4_FRAGMENT_OFFSET_MASK) !== 0) return false;
    const ports = at + ipv4.headerLength(bytes, at);
    if (ports + 4 > at + length) return false;
    return readUint16(bytes, ports) === port || readUint16(bytes, ports + 2) === port;
  }

  /** Copies a packet into a record that nobody sees yet: which word it begins at, or FULL. */
  function keep(at: number, length: number, names: Int32Array, peer: number): number {
    const snap = words[ring.SNAP_LENGTH];
    const copied = Math.min(length, snap);
    const size = (ring.RECORD_HEAD_BYTES + copied + 7) & ~7;
    const record = place(size);
    if (record < 0) {
      words[ring.LOST]++;
      return FULL;
    }
    const word = record >> 2;
    words[word + ring.RECORD_LENGTH] = size;
    words[word + ring.RECORD_KEPT] = copied;
    words[word + ring.RECORD_ORIGINAL] = length;
    const name = word + ring.RECORD_PEER;
    for (let i = 0; i < SOCKADDR_WORDS; i++) words[name + i] = names[peer + i];
    times[(record + ring.RECORD_TIME_BYTES) >> 3] = origin + performance.now();
    copy(at, record + ring.RECORD_HEAD_BYTES, copied);
    return word;
  }

  function finish(record: number, reason: number, segment: number): void {
    words[record + ring.RECORD_REASON] = reason;
    words[record + ring.RECORD_SEGMENT] = segment;
    position = (position + words[record + ring.RECORD_LENGTH]) | 0;
    Atomics.store(words, ring.WRITTEN, position);
  }

  /** By words while it can: the record is aligned, the packet need not be. */
  function copy(from: number, to: number, length: number): void {
    const whole = length >> 2;
    const first = to >> 2;
    for (let i = 0; i < whole; i++) words[first + i] = packets.getInt32(from + 4 * i, true);
    for (let i = 4 * whole; i < length; i++) kept[to + i] = bytes[from + i];
  }

  /** Where a record of that size goes, past a filler where the end of the ring is too near. */
  function place(size: number): number {
    const used = (position - Atomics.load(words, ring.READ)) | 0;
    const at = (position >>> 0) % ring.RECORD_BYTES;
    const toEnd = ring.RECORD_BYTES - at;
    const filler = toEnd < size ? toEnd : 0;
    if (used + filler + size > ring.RECORD_BYTES) return -1;
    if (filler === 0) return ring.RECORDS + at;
    words[((ring.RECORDS + at) >> 2) + ring.RECORD_LENGTH] = filler;
    words[((ring.RECORDS + at) >> 2) + ring.RECORD_KEPT] = ring.FILLER;
    position = (position + filler) | 0;
    return ring.RECORDS;
  }

  return tap;
}
