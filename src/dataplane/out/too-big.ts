/**
 * Datagrams over the path MTU. Those whose inner packet has DF are dropped and their senders told;
 * the others leave by the same socket as ever, without DF for that one send, and the underlay cuts
 * them: with another source port the peer's kernel could hand them to another of its sockets, and a
 * flow of large and small packets would lose its order there.
 */
import { libc } from '../../sys/binding.ts';
import {
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_DONT,
  IPPROTO_IP,
} from '../../sys/constants.ts';
import { EMSGSIZE } from '../../sys/errno.ts';
import { type Layout, type Slab, viewOf } from '../../sys/memory.ts';
import type { Outbox } from '../../udp/runs.ts';
import { pathMtu } from '../../udp/socket.ts';
import { hasDontFragment, totalLength } from '../../wire/ipv4.ts';
import type { Answer } from '../answer.ts';
import * as counters from '../counters.ts';
import type { Tally } from './tally.ts';
import type { Transmitter } from './transmit.ts';

/** Lanes are the node's: another pump may set DF again between our call and our send. */
const FRAGMENT_TRIES = 4;

export interface TooBigOptions {
  readonly slab: Slab;
  readonly layout: Layout;
  readonly block: Float64Array;
  readonly answer: Answer;
  /** Our underlay address. */
  readonly bindAddress: string;
  /** Sending sockets, by lane. */
  readonly sockets: Int32Array;
}

export interface TooBig {
  /** Deals with a run of which a whole datagram exceeds the path MTU. */
  settle(table: Int32Array, outbox: Outbox, first: number, datagrams: number): void;
}

export function createTooBig(
  options: TooBigOptions,
  transmitter: Transmitter,
  tally: Tally,
): TooBig {
  const { slab, layout, block, answer, bindAddress, sockets } = options;
  const { bytes } = slab;
  const forbidding = createValue(slab, layout, IP_PMTUDISC_DO);
  const allowing = createValue(slab, layout, IP_PMTUDISC_DONT);

  function settle(table: Int32Array, outbox: Outbox, first: number, datagrams: number): void {
    const end = first + datagrams;
    let told = -1;
    for (let i = first; i < end; i++) {
      const code = sendAnyway(outbox, i, first);
      if (code === 0) continue;
      const at = outbox.packet[i];
      if (code !== EMSGSIZE || !hasDontFragment(bytes, at)) {
        tally.refused(outbox, code, i, 1);
        continue;
      }
      tally.dropped(outbox, counters.TX_TOO_BIG, i, 1);
      if (at === told) continue;
      told = at;
      tell(table, at, outbox.peer[i]);
    }
  }

  /** 0 where there was a way to send it, or the errno: EMSGSIZE where it has to be smaller. */
  function sendAnyway(outbox: Outbox, datagram: number, first: number): number {
    // The last of a run may be shorter, and may fit where the others do not.
    if (outbox.size[datagram] < outbox.size[first]) {
      const code = transmitter.alone(outbox, datagram, sockets[outbox.lane[datagram]]);
      if (code !== EMSGSIZE) return code;
    }
    if (hasDontFragment(bytes, outbox.packet[datagram])) return EMSGSIZE;
    return fragment(outbox, datagram);
  }

  function fragment(outbox: Outbox, datagram: number): number {
    const fd = sockets[outbox.lane[datagram]];
    let code = EMSGSIZE;
    for (let tries = 0; code === EMSGSIZE && tries < FRAGMENT_TRIES; tries++) {
      libc.setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, allowing, 4);
      code = transmitter.alone(outbox, datagram, fd);
    }
    libc.setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, forbidding, 4);
    if (code === 0) block[counters.OUTER_FRAGMENTED]++;
    return code;
  }

  function tell(table: Int32Array, at: number, peer: number): void {
    const length = totalLength(bytes, at);
    if (!answer.mayTellMtu(at, length)) return;
    const mtu = pathMtu(bindAddress, table, peer);
    // Without an answer from the kernel there is nothing to tell: the next refusal asks again.
    if (mtu > 0) answer.fragNeeded(table, at, length, mtu - counters.OUTER_HEADERS);
  }

  return { settle };
}

/** An int for setsockopt(2), where it stays. */
function createValue(slab: Slab, layout: Layout, value: number): Uint8Array {
  const at = layout.take(4, 4);
  slab.words[at >> 2] = value;
  return viewOf(slab, at, 4);
}
