/**
 * The short way into a train. Of the packets that UDP_GRO hands over in one buffer nearly all
 * differ from the one before only in what cutting a superpacket changes: lengths, identification,
 * sequence number, PSH and checksums. Comparing words finds that out for a third of what it costs
 * to look such a packet up and to find its train. What differs in more takes the long way.
 */
import { type Sum, transportChecksumValid4 } from '../wire/checksum.ts';
import { IPV4_DONT_FRAGMENT } from '../wire/ipv4.ts';
import { TCP_PSH } from '../wire/tcp.ts';
import { fits, join, NO_TRAIN, type Trains } from './trains.ts';

/** Halves of a word as a little-endian machine loads it: bytes 0 and 1, bytes 2 and 3. */
const FIRST_HALF = 0xffff;
const SECOND_HALF = 0xffff_0000;
/** Data offset, flags and window but for PSH, which the last segment alone has. */
const WITHOUT_PSH = ~(TCP_PSH << 8);
/** Words of an IPv4 header without options, and of a TCP header before its options. */
const IPV4_WORDS = 5;
const TCP_WORDS = 5;

/**
 * Adds the packet at `at` to the train that grew last, if it has the same addresses, ports, ToS,
 * TTL, DF and options, right checksums and the next sequence number; else changes nothing and
 * returns false. True thus also means: whoever let that train's packets in would let this one in.
 * `length` is the datagram's. Only packets on 4-byte lines are taken: all of a buffer lie so where
 * their length is a multiple of 4, as that of full ones is.
 */
export type Extend = (at: number, length: number) => boolean;

export function createExtend(bytes: Uint8Array, sum: Sum, trains: Trains): Extend {
  const words = new Int32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);

  function extend(at: number, length: number): boolean {
    const train = trains.growing;
    if (train === NO_TRAIN || trains.open[train] === 0) return false;
    const first = trains.at[train];
    const payload = length - trains.header[train];
    if (((at | first) & 3) !== 0 || payload <= 0 || !fits(trains, train, payload)) return false;
    if (!sameIpv4(train, at, first, length)) return false;
    const tcp = trains.isTcp[train] !== 0;
    if (tcp ? !goesOnTcp(train, at, first) : !goesOnUdp(at, first, length)) return false;
    const unchecked = !tcp && trains.unchecked[train] !== 0;
    if (!unchecked && !transportChecksumValid4(bytes, sum, at, length)) return false;
    join(trains, train, at, payload, tcp ? bytes[at + 33] : 0);
    return true;
  }

  function sameIpv4(train: number, at: number, first: number, length: number): boolean {
    const a = at >> 2;
    const f = first >> 2;
    const difference =
      ((words[a] ^ words[f]) & FIRST_HALF) | // version, header length, ToS
      ((words[a + 1] ^ words[f + 1]) & SECOND_HALF) | // flags, fragment offset
      ((words[a + 2] ^ words[f + 2]) & FIRST_HALF) | // TTL, protocol
      (words[a + 3] ^ words[f + 3]) |
      (words[a + 4] ^ words[f + 4]) |
      (words[a + 5] ^ words[f + 5]); // ports
    if (difference !== 0 || view.getUint16(at + 2) !== length) return false;
    if ((view.getUint16(first + 6) & IPV4_DONT_FRAGMENT) === 0) {
      if (view.getUint16(at + 4) !== trains.nextIdentification[train]) return false;
    }
    // The first header's sum is right, so this one's is if what differs adds up to the same.
    return (varyingIpv4(at) - varyingIpv4(first)) % 0xffff === 0;
  }

  /** Total length, identification and header checksum. */
  function varyingIpv4(at: number): number {
    return view.getUint16(at + 2) + view.getUint16(at + 4) + view.getUint16(at + 10);
  }

  function goesOnTcp(train: number, at: number, first: number): boolean {
    if (view.getInt32(at + 24) !== trains.nextSequence[train]) return false;
    const a = (at >> 2) + IPV4_WORDS;
    const f = (first >> 2) + IPV4_WORDS;
    const difference =
      (words[a + 2] ^ words[f + 2]) | // acknowledgement
      ((words[a + 3] ^ words[f + 3]) & WITHOUT_PSH) |
      ((words[a + 4] ^ words[f + 4]) & SECOND_HALF); // urgent pointer
    if (difference !== 0) return false;
    const end = (trains.header[train] >> 2) - IPV4_WORDS;
    for (let i = TCP_WORDS; i < end; i++) if (words[a + i] !== words[f + i]) return false;
    return true;
  }

  /** The length is its own, and a checksum is there or not as in the first. */
  function goesOnUdp(at: number, first: number, length: number): boolean {
    const none = view.getUint16(at + 26) === 0;
    if (none !== (view.getUint16(first + 26) === 0)) return false;
    return view.getUint16(at + 24) === length - 4 * IPV4_WORDS;
  }

  return extend;
}
