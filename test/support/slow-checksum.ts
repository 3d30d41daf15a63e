/**
 * The Internet checksum as RFC 1071 §1 words it, for any bytes: the slow twin of wire/checksum.
 */

/** One's-complement sum, folded, odd last byte padded on the right with zero. */
export function slowSum(bytes: Uint8Array, at: number, length: number): number {
  let sum = 0;
  for (let offset = 0; offset < length; offset++) {
    sum = slowAdd(sum, offset % 2 === 0 ? bytes[at + offset] * 256 : bytes[at + offset]);
  }
  return sum;
}

/** One's-complement addition: the carry out of 16 bits comes back in at the bottom. */
export function slowAdd(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff ? sum - 0xffff : sum;
}

/** What goes into a checksum field: every bit of the sum flipped. */
export function slowChecksum(bytes: Uint8Array, at = 0, length = bytes.length - at): number {
  return 0xffff - slowSum(bytes, at, length);
}
