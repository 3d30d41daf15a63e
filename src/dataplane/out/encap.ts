/** Out: which peer carries a packet, or a counted reason why none does. */
import { isSuspended, lookup, NO_PEER, ownContains } from '../../forwarding/table.ts';
import { parseAddress4 } from '../../wire/address.ts';
import { isOwnEcho } from '../../wire/icmp.ts';
import {
  decrementTimeToLive,
  destination,
  headerLength,
  IPV4_HEADER_MINIMUM,
  totalLength,
  version,
} from '../../wire/ipv4.ts';
import type { Answer } from '../answer.ts';
import * as counters from '../counters.ts';
import type { TimeToLiveMode } from '../messages.ts';
import { isFromThisHost, isOwnDatagram } from './own-datagram.ts';

/** What `encap` returns for a packet that goes nowhere. */
export const REFUSED = -1;

export interface Encap {
  /**
   * The peer's slot in `table`, or REFUSED with the reason counted and, where the rules ask for it,
   * the sender told. Looks at a superpacket once, for all its `packets` (1 for an ordinary one).
   */
  route(table: Int32Array, at: number, length: number, packets: number): number;
  /** Counter slot of the last refusal, and whose packet it was: a slot in the table, or NO_PEER. */
  reason: number;
  peer: number;
}

export interface EncapRules {
  readonly timeToLive: TimeToLiveMode;
  /** Our own datagrams come from this address, and go to this UDP port. */
  readonly bindAddress: string;
  readonly port: number;
}

export function createEncap(
  bytes: Uint8Array,
  block: Float64Array,
  answer: Answer,
  rules: EncapRules,
): Encap {
  const lowerTimeToLive = rules.timeToLive === 'flannel';
  // 0.0.0.0, which no packet comes from, where the underlay is not IPv4.
  const bindAddress = (parseAddress4(rules.bindAddress) ?? 0) | 0;
  const { port } = rules;

  function refuse(reason: number, packets: number): number {
    block[reason] += packets;
    encap.reason = reason;
    encap.peer = NO_PEER;
    return REFUSED;
  }

  function route(table: Int32Array, at: number, length: number, packets: number): number {
    if (length < IPV4_HEADER_MINIMUM) return refuse(counters.TX_MALFORMED, packets);
    if (version(bytes, at) !== 4) return refuse(counters.TX_NOT_IPV4, packets);
    const header = headerLength(bytes, at);
    if (header < IPV4_HEADER_MINIMUM || header > length || totalLength(bytes, at) !== length) {
      return refuse(counters.TX_MALFORMED, packets);
    }
    if (
      isFromThisHost(table, bytes, at, bindAddress) &&
      isOwnDatagram(table, bytes, at, length, port)
    ) {
      return refuse(counters.TX_LOOP, packets);
    }
    const to = destination(bytes, at);
    const slot = lookup(table, to);
    if (slot === NO_PEER) {
      answer.unreachable(table, at, length);
      const reason = whyNoPeer(table, to);
      // To a peer that just left: no packet of a pod.
      if (!isOwnEcho(bytes, at, length)) return refuse(reason, packets);
      refuse(counters.PROBES_LOST, packets);
      encap.reason = reason;
      return REFUSED;
    }
    if (lowerTimeToLive && !decrementTimeToLive(bytes, at)) {
      answer.timeExceeded(table, at, length);
      refuse(counters.TX_TTL_EXCEEDED, packets);
      encap.peer = slot;
      return REFUSED;
    }
    return slot;
  }

  function whyNoPeer(table: Int32Array, to: number): number {
    if (isSuspended(table)) return counters.TX_LEASE_LOST;
    return ownContains(table, to) ? counters.TX_OWN_SUBNET : counters.TX_NO_ROUTE;
  }

  const encap: Encap = { route, reason: 0, peer: NO_PEER };
  return encap;
}
