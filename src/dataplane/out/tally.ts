/** Counts what became of datagrams: each ends in exactly one of sent or a drop with its reason. */
import { EAGAIN, ENOBUFS, ENOMEM } from '../../sys/errno.ts';
import { NO_ADDRESS } from '../../sys/sockaddr.ts';
import type { Outbox } from '../../udp/runs.ts';
import { isOwnEcho } from '../../wire/icmp.ts';
import { totalLength } from '../../wire/ipv4.ts';
import * as counters from '../counters.ts';
import type { Tap } from '../tap/writer.ts';

export interface Tally {
  /** What follows goes to peers of this table. */
  begin(table: Int32Array): void;
  /** One message of `datagrams` from `first` on, `payload` bytes together, has gone. */
  sent(outbox: Outbox, first: number, datagrams: number, payload: number): void;
  dropped(outbox: Outbox, reason: number, first: number, datagrams: number): void;
  /** Dropped because a send failed with this errno. */
  refused(outbox: Outbox, code: number, first: number, datagrams: number): void;
}

export function createTally(
  bytes: Uint8Array,
  block: Float64Array,
  accounts: Float64Array,
  tap: Tap,
): Tally {
  let table: Int32Array = NO_ADDRESS;

  function begin(current: Int32Array): void {
    table = current;
  }

  /** A datagram holds exactly one packet and nothing else. */
  function sent(outbox: Outbox, first: number, datagrams: number, payload: number): void {
    const account = outbox.account[first] * counters.ACCOUNT_SLOTS;
    accounts[account + counters.ACCOUNT_PACKETS] += datagrams;
    accounts[account + counters.ACCOUNT_BYTES] += payload;
    block[counters.PACKETS] += datagrams;
    block[counters.INNER_BYTES] += payload;
    block[counters.DATAGRAMS] += datagrams;
    block[counters.OUTER_BYTES] += payload + counters.OUTER_HEADERS * datagrams;
    counters.observe(block, counters.RUN_HISTOGRAM, datagrams);
  }

  function dropped(outbox: Outbox, reason: number, first: number, datagrams: number): void {
    // A superpacket is shown whole, by the header that it came with.
    const at = outbox.packet[first];
    const length = totalLength(bytes, at);
    if (tap.mode !== 0) tap.drop(reason, at, length, table, outbox.peer[first]);
    if (isOwnEcho(bytes, at, length)) {
      block[counters.PROBES_LOST] += datagrams;
      return;
    }
    block[reason] += datagrams;
    const account = outbox.account[first] * counters.ACCOUNT_SLOTS;
    accounts[account + counters.ACCOUNT_DROPS] += datagrams;
  }

  function refused(outbox: Outbox, code: number, first: number, datagrams: number): void {
    const full = code === EAGAIN || code === ENOBUFS || code === ENOMEM;
    const reason = full ? counters.TX_SOCKET_FULL : counters.TX_SEND_REFUSED;
    dropped(outbox, reason, first, datagrams);
  }

  return { begin, sent, dropped, refused };
}
