/**
 * Whether the TUN takes superpackets, tried at start with one that nobody will miss. Some kernels
 * refuse what they offer (native-notes/features.md); better to learn it before the first flow does.
 */
import { EINVAL } from '../../sys/errno.ts';
import { type Layout, type Slab, viewOf, writeIovec } from '../../sys/memory.ts';
import { IOVEC_SIZE } from '../../sys/struct.ts';
import type { TunWriter } from '../../tun/write.ts';
import { IPV4_HEADER_MINIMUM, PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_HEADER_LENGTH,
  VIRTIO_NEEDS_CSUM,
  writeVirtio,
} from '../../wire/virtio.ts';

const SEGMENT = 100;
const PAYLOAD = 2 * SEGMENT;

export interface Probe {
  /** False only where the kernel said that it does not know such packets. */
  takes(kind: 'tcp' | 'udp'): boolean;
}

/**
 * Writes superpackets of two segments, from 0.0.0.0 to 0.0.0.0, with a wrong IPv4 header checksum:
 * TUN looks at the virtio_net_hdr and accepts, and the IP layer drops the packet as its first act
 * (RFC 1122 §3.2.1.2), before any route, filter or log.
 */
export function createProbe(slab: Slab, layout: Layout, writer: TunWriter): Probe {
  const start = layout.take(VIRTIO_HEADER_LENGTH + 2 * IPV4_HEADER_MINIMUM + PAYLOAD, 16);
  const iovec = layout.take(IOVEC_SIZE, 16);
  const { bytes } = slab;
  const at = start + VIRTIO_HEADER_LENGTH;

  function takes(kind: 'tcp' | 'udp'): boolean {
    const tcp = kind === 'tcp';
    const header = IPV4_HEADER_MINIMUM + (tcp ? 20 : 8);
    const length = header + PAYLOAD;
    bytes.fill(0, start, at + length);
    writeVirtio(bytes, start, {
      flags: VIRTIO_NEEDS_CSUM,
      gsoType: tcp ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_UDP_L4,
      headerLength: header,
      gsoSize: SEGMENT,
      checksumStart: IPV4_HEADER_MINIMUM,
      checksumOffset: tcp ? 16 : 6,
    });
    bytes[at] = 0x45;
    bytes[at + 2] = length >>> 8;
    bytes[at + 3] = length & 0xff;
    bytes[at + 9] = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
    // Length of the TCP header in words; length of the UDP datagram.
    if (tcp) bytes[at + IPV4_HEADER_MINIMUM + 12] = 0x50;
    else bytes[at + IPV4_HEADER_MINIMUM + 5] = PAYLOAD + 8;
    writeIovec(slab, iovec, start, VIRTIO_HEADER_LENGTH + length);
    return writer.writeVector(viewOf(slab, iovec, IOVEC_SIZE), 1) !== EINVAL;
  }

  return { takes };
}
