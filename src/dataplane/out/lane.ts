/**
 * What the outer header shows of the inner one: the DSCP, and through the source port the flow, so
 * that the network may spread one pair of nodes over queues and paths (as RFC 7348 §5 does for
 * VXLAN). The ECN field stays Not-ECT: a flannel peer would lose the mark (RFC 6040 §4.3).
 */
import { hashFlow } from '../../offload/flow.ts';
import { readUint32 } from '../../wire/bytes.ts';
import {
  fragmentField,
  headerLength,
  IPV4_FRAGMENT_OFFSET_MASK,
  IPV4_MORE_FRAGMENTS,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  protocol,
  typeOfService,
} from '../../wire/ipv4.ts';

const DSCP_BITS = 0xfc;

/**
 * Outer TOS byte in the low eight bits, sending socket above them, for an IPv4 packet whose header
 * was checked. `dscp` is -1 to copy the inner one; `lanes` is how many sending sockets there are.
 */
export function outerFields(bytes: Uint8Array, at: number, dscp: number, lanes: number): number {
  const tos = dscp < 0 ? typeOfService(bytes, at) & DSCP_BITS : dscp << 2;
  if (lanes === 1) return tos;
  const lane = (flowHash(bytes, at) >>> 0) % lanes;
  return (lane << 8) | tos;
}

/** Fragments show no ports behind the first, so none of theirs count: they must stay together. */
function flowHash(bytes: Uint8Array, at: number): number {
  const kind = protocol(bytes, at);
  const fragment = fragmentField(bytes, at) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET_MASK);
  const hasPorts = fragment === 0 && (kind === PROTOCOL_TCP || kind === PROTOCOL_UDP);
  const ports = hasPorts ? readUint32(bytes, at + headerLength(bytes, at)) : 0;
  return hashFlow(readUint32(bytes, at + 12), readUint32(bytes, at + 16), ports);
}
