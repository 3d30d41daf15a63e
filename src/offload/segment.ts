/**
 * Cuts a superpacket from a TUN with virtio_net_hdr into the packets that the kernel's own GSO
 * would make (net/ipv4/tcp_offload.c, udp_offload.c): a strip of fresh headers, while the payload
 * stays where it is. Sums over what all segments share are made once.
 *
 * The header in front of the packet is the kernel's, but it is checked as the world's: its hdr_len
 * may be the whole first packet on the FORWARD path, so lengths come from the headers themselves.
 */
import { complement, fold, type Sum, sumHeader } from '../wire/checksum.ts';
import {
  headerLength,
  IPV4_HEADER_MINIMUM,
  identification,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  protocol,
  version,
} from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, IPV6_NEXT_HEADER_AT, setPayloadLength } from '../wire/ipv6.ts';
import { dataOffset, TCP_CWR, TCP_FIN, TCP_HEADER_MINIMUM, TCP_PSH } from '../wire/tcp.ts';
import { UDP_HEADER_LENGTH } from '../wire/udp.ts';
import * as virtio from '../wire/virtio.ts';

/**
 * What `inspect` returns besides a count of segments. BAD_OFFLOAD is a virtio_net_hdr that no
 * kernel may write, whatever it was given; MALFORMED_OFFLOAD one that does not fit the headers
 * behind it: the kernel hands on what a sender with CAP_NET_RAW asked for (PACKET_VNET_HDR,
 * packet(7)).
 */
export const PLAIN = 0;
export const BAD_OFFLOAD = -1;
export const MALFORMED_OFFLOAD = -2;

/** A header beyond this is no TCP or UDP that we cut: 60 bytes of each IPv4 and TCP. */
const HEADER_MAXIMUM = 120;
/**
 * 64 KiB at the least that a kernel makes TCP segments of: an MSS of 48 less 40 bytes of options
 * (TCP_MIN_GSO_SIZE of include/net/tcp.h).
 */
export const SEGMENTS_MAXIMUM = 8192;

export interface Segmenter {
  /**
   * Looks at the packet and the virtio_net_hdr before it. PLAIN: an ordinary packet, its checksum
   * finished if the kernel had left it. Positive: a superpacket of so many segments, for `cut`.
   * BAD_OFFLOAD or MALFORMED_OFFLOAD: there is no way to finish or to cut it.
   */
  inspect(at: number, length: number): number;
  /**
   * Writes the headers of `count` segments from `first` on, all of them unless told otherwise, of
   * the superpacket last inspected, `stride` bytes apart from `strip`.
   */
  cut(strip: number, first?: number, count?: number): void;
  /** Of the superpacket last inspected. */
  readonly cuts: Cuts;
}

/** How a superpacket falls apart: `header` bytes of headers, `size` of payload but in the last. */
export interface Cuts {
  at: number;
  header: number;
  size: number;
  payload: number;
  segments: number;
  /** Distance between two headers in the strip. */
  stride: number;
}

export function createSegmenter(bytes: Uint8Array, sum: Sum): Segmenter {
  const words = new Int32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  const cuts: Cuts = { at: 0, header: 0, size: 0, payload: 0, segments: 0, stride: 0 };
  let tcp = false;
  let six = false;
  let ipHeader = 0;

  function inspect(at: number, length: number): number {
    const header = at - virtio.VIRTIO_HEADER_LENGTH;
    const flags = virtio.headerFlags(bytes, header);
    const type = virtio.gsoType(bytes, header);
    if (type === virtio.VIRTIO_GSO_NONE) {
      if ((flags & virtio.VIRTIO_NEEDS_CSUM) === 0) return PLAIN;
      return finishChecksum(at, length, header);
    }
    if (!isKernels(flags, type) || virtio.gsoSize(bytes, header) === 0) return BAD_OFFLOAD;
    // Of a packet whose checksum somebody vouched for (CHECKSUM_UNNECESSARY) the kernel says so.
    if ((flags & virtio.VIRTIO_NEEDS_CSUM) === 0) return MALFORMED_OFFLOAD;
    return inspectSuperpacket(at, length, header, type);
  }

  /** Whether virtio_net_hdr_from_skb of include/linux/virtio_net.h can have made it for a TUN. */
  function isKernels(flags: number, type: number): boolean {
    if ((flags & virtio.VIRTIO_RSC_INFO) !== 0) return false;
    const kind = type & ~virtio.VIRTIO_GSO_ECN;
    if (kind === virtio.VIRTIO_GSO_UDP_L4) return type === kind;
    return kind === virtio.VIRTIO_GSO_TCPV4 || kind === virtio.VIRTIO_GSO_TCPV6;
  }

  /** The field holds the pseudo-header's sum; the rest is added here (virtio 1.2 §5.1.6). */
  function finishChecksum(at: number, length: number, header: number): number {
    const start = virtio.checksumStart(bytes, header);
    const field = start + virtio.checksumOffset(bytes, header);
    if (start < IPV4_HEADER_MINIMUM || field + 2 > length) return MALFORMED_OFFLOAD;
    const checksum = complement(sum(at + start, length - start));
    // RFC 768: an all-zero UDP checksum means none, so it is sent as all ones. skb_checksum_help of
    // net/core/dev.c does so for every protocol, and to the others both are the same.
    view.setUint16(at + field, checksum === 0 ? 0xffff : checksum);
    return PLAIN;
  }

  function inspectSuperpacket(at: number, length: number, header: number, type: number): number {
    const kind = type & ~virtio.VIRTIO_GSO_ECN;
    if (length < IPV4_HEADER_MINIMUM + UDP_HEADER_LENGTH) return MALFORMED_OFFLOAD;
    six = version(bytes, at) === 6;
    if (!six && version(bytes, at) !== 4) return MALFORMED_OFFLOAD;
    tcp = kind !== virtio.VIRTIO_GSO_UDP_L4;
    if (tcp && kind !== (six ? virtio.VIRTIO_GSO_TCPV6 : virtio.VIRTIO_GSO_TCPV4)) {
      return MALFORMED_OFFLOAD;
    }
    ipHeader = six ? IPV6_HEADER_LENGTH : headerLength(bytes, at);
    const transport = six ? bytes[at + IPV6_NEXT_HEADER_AT] : protocol(bytes, at);
    if (transport !== (tcp ? PROTOCOL_TCP : PROTOCOL_UDP)) return MALFORMED_OFFLOAD;
    if (virtio.checksumStart(bytes, header) !== ipHeader) return MALFORMED_OFFLOAD;
    if (virtio.checksumOffset(bytes, header) !== (tcp ? 16 : 6)) return MALFORMED_OFFLOAD;
    const minimum = tcp ? TCP_HEADER_MINIMUM : UDP_HEADER_LENGTH;
    if (ipHeader < IPV4_HEADER_MINIMUM || ipHeader + minimum > length) return MALFORMED_OFFLOAD;
    return measure(at, length, virtio.gsoSize(bytes, header));
  }

  function measure(at: number, length: number, size: number): number {
    const transport = tcp ? dataOffset(bytes, at + ipHeader) : UDP_HEADER_LENGTH;
    const header = ipHeader + transport;
    if (tcp && transport < TCP_HEADER_MINIMUM) return MALFORMED_OFFLOAD;
    if (header > HEADER_MAXIMUM || header > length) return MALFORMED_OFFLOAD;
    const payload = length - header;
    const segments = payload === 0 ? 1 : Math.ceil(payload / size);
    if (segments > SEGMENTS_MAXIMUM) return MALFORMED_OFFLOAD;
    cuts.at = at;
    cuts.header = header;
    cuts.size = size;
    cuts.payload = payload;
    cuts.segments = segments;
    cuts.stride = (header + 15) & ~15;
    return segments;
  }

  function cut(strip: number, first = 0, count = cuts.segments): void {
    const { at, header, size, payload, segments, stride } = cuts;
    const ipSum = six ? 0 : constantIpv4Sum(at);
    const transportSum = tcp ? constantTcpSum(at) : constantUdpSum(at);
    const id = six ? 0 : identification(bytes, at);
    const sequence = tcp ? view.getInt32(at + ipHeader + 4) : 0;
    const flags = tcp ? bytes[at + ipHeader + 13] : 0;
    let to = strip;
    for (let i = first; i < first + count; i++) {
      const from = i * size;
      const slice = Math.min(payload - from, size);
      copyWords(at >> 2, to >> 2, header >> 2);
      const length = header + slice;
      if (six) setPayloadLength(bytes, to, length - IPV6_HEADER_LENGTH);
      else stampIpv4(to, length, (id + i) & 0xffff, ipSum);
      const body = sum(at + header + from, slice);
      if (tcp) {
        const kept = flags & segmentFlags(i, segments);
        stampTcp(to, (sequence + from) | 0, kept, transportSum + body + length - ipHeader);
      } else {
        stampUdp(to, length - ipHeader, transportSum + body);
      }
      to += stride;
    }
  }

  /** FIN and PSH belong to the last segment, CWR to the first (RFC 3168 §6.1.2). */
  function segmentFlags(i: number, segments: number): number {
    const notLast = i < segments - 1 ? TCP_FIN | TCP_PSH : 0;
    const notFirst = i > 0 ? TCP_CWR : 0;
    return 0xff & ~(notLast | notFirst);
  }

  /** Headers and their copies lie on 4-byte lines and are whole words long. */
  function copyWords(from: number, to: number, count: number): void {
    for (let i = 0; i < count; i++) words[to + i] = words[from + i];
  }

  /** Everything of an IPv4 header but total length, identification and checksum. */
  function constantIpv4Sum(at: number): number {
    return (
      sumHeader(bytes, at, ipHeader) -
      view.getUint16(at + 2) -
      view.getUint16(at + 4) -
      view.getUint16(at + 10)
    );
  }

  function stampIpv4(to: number, length: number, id: number, constant: number): void {
    view.setUint16(to + 2, length);
    view.setUint16(to + 4, id);
    view.setUint16(to + 10, complement(constant + length + id));
  }

  /** Pseudo-header without length, and the TCP header but sequence, flags and checksum. */
  function constantTcpSum(at: number): number {
    const t = at + ipHeader;
    return (
      addressSum(at) +
      PROTOCOL_TCP +
      sumHeader(bytes, t, dataOffset(bytes, t)) -
      view.getUint16(t + 4) -
      view.getUint16(t + 6) -
      bytes[t + 13] -
      view.getUint16(t + 16)
    );
  }

  function constantUdpSum(at: number): number {
    return addressSum(at) + PROTOCOL_UDP + (view.getUint32(at + ipHeader) % 0xffff);
  }

  function addressSum(at: number): number {
    return six ? sumHeader(bytes, at + 8, 32) : sumHeader(bytes, at + 12, 8);
  }

  function stampTcp(to: number, sequence: number, flags: number, others: number): void {
    const t = to + ipHeader;
    view.setInt32(t + 4, sequence);
    bytes[t + 13] = flags;
    const own = (sequence >>> 16) + (sequence & 0xffff) + flags;
    view.setUint16(t + 16, complement(fold(others) + own));
  }

  function stampUdp(to: number, length: number, others: number): void {
    const u = to + ipHeader;
    view.setUint16(u + 4, length);
    // The length counts twice: in the pseudo-header and in the header.
    const checksum = complement(fold(others) + 2 * length);
    view.setUint16(u + 6, checksum === 0 ? 0xffff : checksum);
  }

  return { inspect, cut, cuts };
}
