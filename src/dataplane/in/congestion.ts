/**
 * Carries an outer congestion mark into the inner header as RFC 6040 §4.2 wants it at the end of a
 * tunnel. weft and flannel send Not-ECT outside, so marks come only from other encapsulators.
 */
import { readUint16 } from '../../wire/bytes.ts';
import { patchChecksum } from '../../wire/checksum.ts';
import {
  headerChecksum,
  setHeaderChecksum,
  setTypeOfService,
  typeOfService,
} from '../../wire/ipv4.ts';

const ECN_BITS = 3;
const NOT_ECT = 0;
const ECT_1 = 1;
const CE = 3;

/** Applies outer ECN bits 1 or 3; false if the packet must be dropped (CE over Not-ECT). */
export function propagateCongestion(bytes: Uint8Array, at: number, outer: number): boolean {
  const tos = typeOfService(bytes, at);
  const inner = tos & ECN_BITS;
  const mark = outer & ECN_BITS;
  if (inner === NOT_ECT) return mark !== CE;
  // ECT(1) over ECT(0) becomes ECT(1), CE over either becomes CE; an inner CE stays.
  if (inner === CE || mark === NOT_ECT || mark === inner) return true;
  if (mark !== CE && mark !== ECT_1) return true;
  const before = readUint16(bytes, at);
  setTypeOfService(bytes, at, (tos & ~ECN_BITS) | mark);
  const patched = patchChecksum(headerChecksum(bytes, at), before, readUint16(bytes, at));
  setHeaderChecksum(bytes, at, patched);
  return true;
}
