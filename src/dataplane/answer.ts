/**
 * ICMP errors to the senders of packets that could not be carried, written back into the TUN. The
 * kernel forwards them to the pod. Rules on when to stay silent are in wire/icmp; the rate limit of
 * each pump is the kernel's own for a host (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst; icmp(7)).
 */
import { OWN_NETWORK } from '../forwarding/table.ts';
import { libc } from '../sys/binding.ts';
import { CLOCK_MONOTONIC } from '../sys/constants.ts';
import { type Layout, type Slab, viewOf } from '../sys/memory.ts';
import { TIMESPEC_NANOSECONDS, TIMESPEC_SECONDS, TIMESPEC_SIZE } from '../sys/struct.ts';
import type { TunWriter } from '../tun/write.ts';
import {
  buildError,
  type ErrorRequest,
  ICMP_CODE_FRAG_NEEDED,
  ICMP_CODE_IN_TRANSIT,
  ICMP_CODE_NET,
  ICMP_ERROR_MAXIMUM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  mayAnswer,
} from '../wire/icmp.ts';
import * as counters from './counters.ts';

const PER_SECOND = 1000;
const BURST = 50;
/** The least next-hop MTU that is worth saying (RFC 791: every link carries 68 bytes). */
const LEAST_MTU = 68;

export interface Answer {
  /** No lease covers the destination. */
  unreachable(table: Int32Array, at: number, length: number): void;
  timeExceeded(table: Int32Array, at: number, length: number): void;
  /** Whether a frag-needed may be sent now; ask before working out the path MTU. */
  mayTellMtu(at: number, length: number): boolean;
  fragNeeded(table: Int32Array, at: number, length: number, mtu: number): void;
}

/** Tokens at PER_SECOND up to BURST; the clock is read only when they run out. */
export function createBucket(slab: Slab, layout: Layout): { take(): boolean } {
  const at = layout.take(TIMESPEC_SIZE, 16);
  const view = viewOf(slab, at, TIMESPEC_SIZE);
  const { words } = slab;
  let tokens = BURST;
  let seconds = 0;
  let milliseconds = 0;

  function refill(): void {
    libc.clock_gettime(CLOCK_MONOTONIC, view);
    const nowSeconds = words[(at + TIMESPEC_SECONDS) >> 2];
    const now = (words[(at + TIMESPEC_NANOSECONDS) >> 2] / 1e6) | 0;
    const passed = nowSeconds - seconds;
    const elapsed = passed > 1 ? 1000 : passed * 1000 + now - milliseconds;
    if (elapsed <= 0) return;
    tokens = Math.min(BURST, ((elapsed * PER_SECOND) / 1000) | 0);
    seconds = nowSeconds;
    milliseconds = now;
  }

  function take(): boolean {
    if (tokens === 0) refill();
    if (tokens === 0) return false;
    tokens--;
    return true;
  }

  return { take };
}

export function createAnswer(
  slab: Slab,
  layout: Layout,
  writer: TunWriter,
  block: Float64Array,
): Answer {
  const { bytes } = slab;
  const scratch = layout.take(ICMP_ERROR_MAXIMUM, 64);
  const request: ErrorRequest = { type: 0, code: 0, rest: 0, source: 0, offenderLength: 0 };
  // A flood to dead subnets must not silence what keeps TCP alive: path MTU has its own bucket.
  const errors = createBucket(slab, layout);
  const mtuErrors = createBucket(slab, layout);

  function admit(bucket: { take(): boolean }, at: number, length: number): boolean {
    if (!mayAnswer(bytes, at, length)) return false;
    if (bucket.take()) return true;
    block[counters.ICMP_SUPPRESSED]++;
    return false;
  }

  function send(table: Int32Array, at: number, length: number, slot: number): void {
    request.source = table[OWN_NETWORK] >>> 0;
    request.offenderLength = length;
    const size = buildError(bytes, scratch, at, request);
    const written = writer.writePacket(scratch, size) === 0;
    const result = written ? counters.CALL_OK : counters.CALL_ERROR;
    block[counters.CALL_WRITEV + result]++;
    block[written ? slot : counters.ICMP_SUPPRESSED]++;
  }

  function unreachable(table: Int32Array, at: number, length: number): void {
    if (!admit(errors, at, length)) return;
    request.type = ICMP_UNREACHABLE;
    request.code = ICMP_CODE_NET;
    request.rest = 0;
    send(table, at, length, counters.ICMP_UNREACHABLE_SENT);
  }

  function timeExceeded(table: Int32Array, at: number, length: number): void {
    if (!admit(errors, at, length)) return;
    request.type = ICMP_TIME_EXCEEDED;
    request.code = ICMP_CODE_IN_TRANSIT;
    request.rest = 0;
    send(table, at, length, counters.ICMP_TIME_EXCEEDED_SENT);
  }

  function mayTellMtu(at: number, length: number): boolean {
    return admit(mtuErrors, at, length);
  }

  function fragNeeded(table: Int32Array, at: number, length: number, mtu: number): void {
    request.type = ICMP_UNREACHABLE;
    request.code = ICMP_CODE_FRAG_NEEDED;
    request.rest = Math.max(mtu, LEAST_MTU);
    send(table, at, length, counters.ICMP_FRAG_NEEDED_SENT);
  }

  return { unreachable, timeExceeded, mayTellMtu, fragNeeded };
}
