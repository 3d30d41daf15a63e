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

/** The ECN field of a TOS byte, and what stands in it (RFC 3168 §5). */
export const ECN_BITS = 3;
const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;

/** Applies the ECN field of an outer TOS byte; false if the packet must be dropped. */
export function propagateCongestion(bytes: Uint8Array, at: number, outer: number): boolean {
  const tos = typeOfService(bytes, at);
  const inner = tos & ECN_BITS;
  const mark = outer & ECN_BITS;
  if (inner === NOT_ECT) return mark !== CE;
  // Nothing else changes the inner field: CE wins over all, and ECT(1) over ECT(0).
  if (mark !== CE && (mark !== ECT_1 || inner !== ECT_0)) return true;
  const before = readUint16(bytes, at);
  setTypeOfService(bytes, at, (tos & ~ECN_BITS) | mark);
  const patched = patchChecksum(headerChecksum(bytes, at), before, readUint16(bytes, at));
  setHeaderChecksum(bytes, at, patched);
  return true;
}
