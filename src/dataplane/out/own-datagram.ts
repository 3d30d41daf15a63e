/** Out: whether a packet is a datagram of our own tunnel, which must go no deeper. */
import { isPeerAddress, OWN_NETWORK } from '../../forwarding/table.ts';
import { readUint16 } from '../../wire/bytes.ts';
import { destination, headerLength, source } from '../../wire/ipv4.ts';
import { UDP_HEADER_LENGTH, udpDestinationPort } from '../../wire/udp.ts';

const PROTOCOL_AT = 9;
const PROTOCOL_UDP = 17;
const FRAGMENT_AT = 6;
const FRAGMENT_OFFSET = 0x1fff;

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
  if (isPeerAddress(table, destination(bytes, at) | 0)) return true;
  if (bytes[at + PROTOCOL_AT] !== PROTOCOL_UDP) return false;
  // Later fragments have no ports; without the first nothing is put together again.
  if ((readUint16(bytes, at + FRAGMENT_AT) & FRAGMENT_OFFSET) !== 0) return false;
  const udp = at + headerLength(bytes, at);
  const payload = udp + UDP_HEADER_LENGTH;
  if (payload >= at + length || udpDestinationPort(bytes, udp) !== port) return false;
  return bytes[payload] >>> 4 === 4;
}
