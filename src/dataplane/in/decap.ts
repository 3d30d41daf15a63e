/**
 * In: whether the packet of a datagram may enter, or a counted reason why not. Anyone who reaches
 * the port can send; so the sender must be a peer, the inner source its own, the inner destination
 * ours.
 */
import { isSuspended, lookup, NO_PEER, ownContains, peerCount } from '../../forwarding/table.ts';
import { isOwnEcho } from '../../wire/icmp.ts';
import {
  decrementTimeToLive,
  destination,
  headerChecksumValid,
  headerLength,
  IPV4_HEADER_MINIMUM,
  source,
  totalLength,
  version,
} from '../../wire/ipv4.ts';
import type { Answer } from '../answer.ts';
import * as counters from '../counters.ts';
import type { Accept, TimeToLiveMode } from '../messages.ts';

export interface Decap {
  /** True to let the packet in; else the reason is counted. `sender` is a slot, or NO_PEER. */
  admit(table: Int32Array, sender: number, at: number, length: number): boolean;
  /** Counter slot of the last refusal, SENTINELS among them. */
  reason: number;
}

export interface DecapRules {
  readonly accept: Accept;
  readonly timeToLive: TimeToLiveMode;
  /** MTU of the TUN: a longer packet would only be dropped further on, uncounted. */
  readonly mtu: number;
}

export function createDecap(
  bytes: Uint8Array,
  block: Float64Array,
  answer: Answer,
  rules: DecapRules,
): Decap {
  const strict = rules.accept === 'strict';
  const anySender = rules.accept === 'any';
  const lowerTimeToLive = rules.timeToLive === 'flannel';
  const { mtu } = rules;

  function refuse(slot: number): boolean {
    block[slot]++;
    decap.reason = slot;
    return false;
  }

  /**
   * Nodes that begin or move miss each other's probes for a moment: no packet of a pod is lost. Not
   * so with strangers once peers are known, for anybody may write what probes say.
   */
  function forgiveProbe(table: Int32Array, at: number, length: number): boolean {
    const stranger = decap.reason === counters.RX_UNKNOWN_PEER && peerCount(table) > 0;
    if (stranger || isForged(decap.reason)) return false;
    if (!isOwnEcho(bytes, at, length)) return false;
    block[decap.reason]--;
    block[counters.PROBES_LOST]++;
    return false;
  }

  function admit(table: Int32Array, sender: number, at: number, length: number): boolean {
    if (length < IPV4_HEADER_MINIMUM) {
      return refuse(length === 1 ? counters.SENTINELS : counters.RX_TOO_SHORT);
    }
    if (version(bytes, at) !== 4) return refuse(counters.RX_NOT_IPV4);
    const header = headerLength(bytes, at);
    if (header < IPV4_HEADER_MINIMUM || header > length) return refuse(counters.RX_BAD_HEADER);
    if (totalLength(bytes, at) !== length) return refuse(counters.RX_BAD_LENGTH);
    if (!headerChecksumValid(bytes, at)) return refuse(counters.RX_BAD_CHECKSUM);
    if (length > mtu) return refuse(counters.RX_TOO_BIG);
    const from = source(bytes, at) | 0;
    if (!fromPeer(table, sender, from)) return forgiveProbe(table, at, length);
    if (isMartian(table, from)) return refuse(counters.RX_MARTIAN_SOURCE);
    if (!ownContains(table, destination(bytes, at))) {
      refuse(counters.RX_FOREIGN_DESTINATION);
      return forgiveProbe(table, at, length);
    }
    if (lowerTimeToLive && !decrementTimeToLive(bytes, at)) {
      answer.timeExceeded(table, at, length);
      return refuse(counters.RX_TTL_EXCEEDED);
    }
    return true;
  }

  /** The table answers both questions at once where the packet is honest. */
  function fromPeer(table: Int32Array, sender: number, from: number): boolean {
    if (sender !== NO_PEER && lookup(table, from) === sender) return true;
    if (isSuspended(table)) return refuse(counters.RX_LEASE_LOST);
    if (anySender) return true;
    if (sender === NO_PEER) return refuse(counters.RX_UNKNOWN_PEER);
    if (!strict) return true;
    return refuse(isMartian(table, from) ? counters.RX_MARTIAN_SOURCE : counters.RX_SPOOFED_SOURCE);
  }

  /** Sources that no honest packet from another node has: ours, 0/8, 127/8, 224/3. */
  function isMartian(table: Int32Array, from: number): boolean {
    const first = from >>> 24;
    return first === 0 || first === 127 || first >= 224 || ownContains(table, from);
  }

  const decap: Decap = { admit, reason: 0 };
  return decap;
}

function isForged(reason: number): boolean {
  return reason === counters.RX_SPOOFED_SOURCE || reason === counters.RX_MARTIAN_SOURCE;
}
