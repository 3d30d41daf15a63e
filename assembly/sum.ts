/**
 * One's-complement sum of a region of the imported memory (RFC 1071), folded to 16 bits, in
 * network order, not complemented. Words are added little-endian, as the machine loads them, and
 * the folded sum is byte-swapped once: the sum does not depend on byte order (RFC 1071 §2 B).
 *
 * An i32 lane takes at most 2 * 0xffff from each 64 bytes, so it lasts for 2 MiB; no packet is
 * over 64 KiB. Four accumulators, because one chain of dependent adds would set the pace.
 */
export function sum(at: i32, length: i32): i32 {
  let p: usize = at;
  const end: usize = p + length;
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (const last = p + (length & ~63); p < last; p += 64) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 16)));
    c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 32)));
    d = i32x4.add(d, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 48)));
  }
  for (; p + 16 <= end; p += 16) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p)));
  }
  return fold(widen(a) + widen(b) + widen(c) + widen(d) + tail(p, end));
}

/** The four lanes of an accumulator added without overflow. */
// @ts-ignore: decorator
@inline
function widen(lanes: v128): u64 {
  const pairs = i64x2.add(i64x2.extend_low_i32x4_u(lanes), i64x2.extend_high_i32x4_u(lanes));
  return i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1);
}

/** The last 0 to 15 bytes; an odd one is the low half of its little-endian word. */
// @ts-ignore: decorator
@inline
function tail(p: usize, end: usize): u64 {
  let rest: u64 = 0;
  for (; p + 4 <= end; p += 4) rest += load<u32>(p);
  if (p + 2 <= end) {
    rest += load<u16>(p);
    p += 2;
  }
  if (p < end) rest += load<u8>(p);
  return rest;
}

// @ts-ignore: decorator
@inline
function fold(total: u64): i32 {
  // Below 2^36 here: 36 bits to 20 above 16, then to 17, then to 16.
  total = (total & 0xffffffff) + (total >> 32);
  total = (total & 0xffff) + (total >> 16);
  total = (total & 0xffff) + (total >> 16);
  total = (total & 0xffff) + (total >> 16);
  return <i32>(((total << 8) | (total >> 8)) & 0xffff);
}
