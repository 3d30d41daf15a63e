/** Out: whether a packet is a datagram of our own tunnel, which must go no deeper. */
import { findPeer, NO_PEER, OWN_NETWORK } from '../../forwarding/table.ts';
import { AF_INET } from '../../sys/constants.ts';
import { SOCKADDR_WORDS } from '../../sys/sockaddr.ts';
import { fragmentOffset, headerLength, PROTOCOL_UDP, protocol, source } from '../../wire/ipv4.ts';
import { UDP_HEADER_LENGTH, udpDestinationPort } from '../../wire/udp.ts';

/**
 * Sockets send from the underlay's address; masquerading puts the device's in its place, which is
 * the first of our subnet. Pods have neither, so a pod that is a node of an overlay itself passes.
 */
export function isFromThisHost(
  table: Int32Array,
  bytes: Uint8Array,
  at: number,
  bindAddress: number,
): boolean {
  const from = source(bytes, at) | 0;
  return from === bindAddress || from === table[OWN_NETWORK];
}

/**
 * Of a packet from this host with a valid header: whether it is one of our datagrams, by port and
 * by the IPv4 header that follows, or goes to a peer's own address in whatever way.
 */
export function isOwnDatagram(
  table: Int32Array,
  bytes: Uint8Array,
  at: number,
  length: number,
  port: number,
): boolean {
  if (goesToPeer(table, bytes, at)) return true;
  if (protocol(bytes, at) !== PROTOCOL_UDP) return false;
  // Later fragments have no ports; without the first nothing is put together again.
  if (fragmentOffset(bytes, at) !== 0) return false;
  const udp = at + headerLength(bytes, at);
  const payload = udp + UDP_HEADER_LENGTH;
  if (payload >= at + length || udpDestinationPort(bytes, udp) !== port) return false;
  return bytes[payload] >>> 4 === 4;
}

/** A destination as a socket address, which is what peers are found by. */
const sought = new Int32Array(SOCKADDR_WORDS);
const DESTINATION_AT = 16;

function goesToPeer(table: Int32Array, bytes: Uint8Array, at: number): boolean {
  const to = at + DESTINATION_AT;
  sought[0] = AF_INET;
  sought[1] = bytes[to] | (bytes[to + 1] << 8) | (bytes[to + 2] << 16) | (bytes[to + 3] << 24);
  return findPeer(table, sought, 0) !== NO_PEER;
}
