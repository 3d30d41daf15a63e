/** Sends wired messages: each call counted, a full send buffer waited for within a budget. */
import { libc } from '../../sys/binding.ts';
import { createMicroseconds } from '../../sys/clock.ts';
import { POLLIN, POLLOUT } from '../../sys/constants.ts';
import { EAGAIN } from '../../sys/errno.ts';
import { type Layout, type Slab, viewOf } from '../../sys/memory.ts';
import { NO_ADDRESS } from '../../sys/sockaddr.ts';
import * as struct from '../../sys/struct.ts';
import type { Outbox } from '../../udp/runs.ts';
import { SEND_RUNS, type Sender } from '../../udp/send.ts';
import * as counters from '../counters.ts';
import type { Tally } from './tally.ts';

/**
 * All that one flush may wait for room: what a send buffer of 4 MB takes to leave at 1 Gb/s, with
 * a half to spare. A breath has one flush, and at a tiny MSS up to 40: the heartbeat is due in 5 s.
 */
export const FLUSH_WAIT_MICROSECONDS = 50_000;
/** What the shortest wait costs of it, so that waits that bring no room come to an end. */
const LEAST_WAIT_MICROSECONDS = 100;

export interface Transmitter {
  /** Begins a flush, with its whole budget, to peers of this table. */
  begin(table: Int32Array): void;
  /** Sends messages from slot `from` up to `count`: how many went, or minus the errno. */
  transmit(fd: number, from: number, count: number): number;
  /** Sends one datagram by itself, and counts it as sent: 0, or the errno. */
  alone(outbox: Outbox, datagram: number, fd: number): number;
}

export function createTransmitter(
  slab: Slab,
  layout: Layout,
  sender: Sender,
  tally: Tally,
  options: { readonly block: Float64Array; readonly wake: number },
): Transmitter {
  const { block, wake } = options;
  const { words } = slab;
  const poll = layout.take(2 * struct.POLLFD_SIZE, 16);
  const pollView = viewOf(slab, poll, 2 * struct.POLLFD_SIZE);
  const socket = poll >> 2;
  const waker = (poll + struct.POLLFD_SIZE) >> 2;
  const now = createMicroseconds(slab, layout);
  let table: Int32Array = NO_ADDRESS;
  let budget = 0;

  function begin(current: Int32Array): void {
    table = current;
    budget = FLUSH_WAIT_MICROSECONDS;
  }

  function transmit(fd: number, from: number, count: number): number {
    for (;;) {
      const sent = sender.transmit(fd, from, count);
      if (sent > 0) {
        block[counters.CALL_SENDMMSG + counters.CALL_OK]++;
        return sent;
      }
      if (-sent !== EAGAIN) {
        block[counters.CALL_SENDMMSG + counters.CALL_ERROR]++;
        return sent;
      }
      block[counters.CALL_SENDMMSG + counters.CALL_AGAIN]++;
      if (budget <= 0) return sent;
      waitForRoom(fd);
    }
  }

  function alone(outbox: Outbox, datagram: number, fd: number): number {
    sender.wireOne(table, outbox, datagram);
    const sent = transmit(fd, SEND_RUNS, SEND_RUNS + 1);
    if (sent <= 0) return -sent;
    tally.sent(outbox, datagram, 1, outbox.size[datagram]);
    return 0;
  }

  function waitForRoom(fd: number): void {
    const start = now();
    // Events are the low, revents the high half of the second word.
    words[socket] = fd;
    words[socket + (struct.POLLFD_EVENTS >> 2)] = POLLOUT;
    words[waker] = wake;
    words[waker + (struct.POLLFD_EVENTS >> 2)] = POLLIN;
    const ready = libc.poll(pollView, 2, Math.ceil(budget / 1000));
    const result = ready > 0 ? counters.CALL_OK : counters.CALL_AGAIN;
    block[counters.CALL_POLL + result]++;
    const passed = now() - start;
    // The clock's window has begun again: what the wait took cannot be told, so it took all.
    budget = passed < 0 ? 0 : budget - Math.max(passed, LEAST_WAIT_MICROSECONDS);
    // The pump is to stop: its wake-up stays readable, and there is no more waiting.
    const woken = (words[waker + (struct.POLLFD_EVENTS >> 2)] >>> 16) & POLLIN;
    if (ready > 0 && woken !== 0) budget = 0;
  }

  return { begin, transmit, alone };
}
