/**
 * Who sent what of a batch: what each buffer brought, and what of it the TUN refused in the end.
 * It is added to the accounts of peers once the batch is written, so that a packet stands in one
 * place only and no account ever goes back.
 */
import { assert } from '../../assert.ts';
import { NO_PEER, peerAccount } from '../../forwarding/table.ts';
import { RECEIVE_BUFFER, type Receiver } from '../../udp/receive.ts';
import * as counters from '../counters.ts';

export interface Ledger {
  /** What buffer `i` brought: so many datagrams, and of them the packets that were let in. */
  note(i: number, datagrams: number, admitted: number, payload: number): void;
  /** Who sent buffer `i`: a slot of this batch's table, or NO_PEER. */
  from(i: number, peer: number): void;
  /** A packet that was let in, and that the TUN then refused; `at` lies in its buffer. */
  lose(at: number, length: number): void;
  /** Where the outer source of the packet at `at` stands, in words of the slab. */
  senderOf(at: number): number;
  /** Adds the first `count` buffers to the accounts of their senders, and begins a new batch. */
  settle(table: Int32Array, count: number): void;
}

export function createLedger(
  receiver: Pick<Receiver, 'at' | 'sender'>,
  accounts: Float64Array,
): Ledger {
  const entries = receiver.at.length;
  const first = receiver.at[0];
  for (let i = 0; i < entries; i++) {
    assert(receiver.at[i] === first + i * RECEIVE_BUFFER, 'receive buffers lie side by side');
  }
  const peerOf = new Int32Array(entries);
  const datagramsOf = new Int32Array(entries);
  const admittedOf = new Int32Array(entries);
  const payloadOf = new Int32Array(entries);
  const lostOf = new Int32Array(entries);
  const lostBytesOf = new Int32Array(entries);

  function bufferOf(at: number): number {
    return ((at - first) / RECEIVE_BUFFER) | 0;
  }

  function note(i: number, datagrams: number, admitted: number, payload: number): void {
    datagramsOf[i] = datagrams;
    admittedOf[i] = admitted;
    payloadOf[i] = payload;
  }

  function lose(at: number, length: number): void {
    const i = bufferOf(at);
    lostOf[i]++;
    lostBytesOf[i] += length;
  }

  function settle(table: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const slot = peerOf[i];
      const account = slot === NO_PEER ? 0 : peerAccount(table, slot) * counters.ACCOUNT_SLOTS;
      const written = admittedOf[i] - lostOf[i];
      accounts[account + counters.ACCOUNT_PACKETS] += written;
      accounts[account + counters.ACCOUNT_BYTES] += payloadOf[i] - lostBytesOf[i];
      accounts[account + counters.ACCOUNT_DROPS] += datagramsOf[i] - written;
      accounts[account + counters.ACCOUNT_ADMITTED] += admittedOf[i];
      lostOf[i] = 0;
      lostBytesOf[i] = 0;
    }
  }

  function from(i: number, peer: number): void {
    peerOf[i] = peer;
  }

  return {
    note,
    from,
    lose,
    senderOf(at) {
      return receiver.sender[bufferOf(at)];
    },
    settle,
  };
}
