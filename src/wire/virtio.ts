import { readHost16, writeHost16 } from './bytes.ts';

/**
 * struct virtio_net_hdr (linux/virtio_net.h), which a TUN opened with IFF_VNET_HDR puts before
 * each packet. Its 16-bit fields are in the host's order, as TUN has them unless told otherwise
 * by TUNSETVNETLE or TUNSETVNETBE.
 */
export const VIRTIO_FLAGS_AT = 0;
export const VIRTIO_GSO_TYPE_AT = 1;
export const VIRTIO_HDR_LEN_AT = 2;
export const VIRTIO_GSO_SIZE_AT = 4;
export const VIRTIO_CSUM_START_AT = 6;
export const VIRTIO_CSUM_OFFSET_AT = 8;

export const VIRTIO_HEADER_LENGTH = 10;

/** VIRTIO_NET_HDR_F_*: the checksum is unfinished; it was verified; csum fields are RSC's. */
export const VIRTIO_NEEDS_CSUM = 1;
export const VIRTIO_DATA_VALID = 2;
export const VIRTIO_RSC_INFO = 4;

/** VIRTIO_NET_HDR_GSO_*: what kind of superpacket follows; ECN is a bit beside the kind. */
export const VIRTIO_GSO_NONE = 0;
export const VIRTIO_GSO_TCPV4 = 1;
export const VIRTIO_GSO_UDP = 3;
export const VIRTIO_GSO_TCPV6 = 4;
export const VIRTIO_GSO_UDP_L4 = 5;
export const VIRTIO_GSO_ECN = 0x80;

export function headerFlags(bytes: Uint8Array, at: number): number {
  return bytes[at + VIRTIO_FLAGS_AT];
}

/** With the ECN bit, if the kernel set it. */
export function gsoType(bytes: Uint8Array, at: number): number {
  return bytes[at + VIRTIO_GSO_TYPE_AT];
}

/**
 * Bytes of headers in front of the payload, as the kernel guesses. Not to be trusted: of
 * forwarded packets it may be the whole first packet.
 */
export function guessedHeaderLength(bytes: Uint8Array, at: number): number {
  return readHost16(bytes, at + VIRTIO_HDR_LEN_AT);
}

/** Payload bytes of each segment but the last. */
export function gsoSize(bytes: Uint8Array, at: number): number {
  return readHost16(bytes, at + VIRTIO_GSO_SIZE_AT);
}

/** Where the checksummed part begins, in bytes from the packet's first. */
export function checksumStart(bytes: Uint8Array, at: number): number {
  return readHost16(bytes, at + VIRTIO_CSUM_START_AT);
}

/** Where the checksum goes, in bytes from `checksumStart`. */
export function checksumOffset(bytes: Uint8Array, at: number): number {
  return readHost16(bytes, at + VIRTIO_CSUM_OFFSET_AT);
}

/** What `writeVirtio` writes; made once and rewritten by its owner. */
export interface VirtioFields {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

export function writeVirtio(bytes: Uint8Array, at: number, fields: VirtioFields): void {
  bytes[at + VIRTIO_FLAGS_AT] = fields.flags;
  bytes[at + VIRTIO_GSO_TYPE_AT] = fields.gsoType;
  writeHost16(bytes, at + VIRTIO_HDR_LEN_AT, fields.headerLength);
  writeHost16(bytes, at + VIRTIO_GSO_SIZE_AT, fields.gsoSize);
  writeHost16(bytes, at + VIRTIO_CSUM_START_AT, fields.checksumStart);
  writeHost16(bytes, at + VIRTIO_CSUM_OFFSET_AT, fields.checksumOffset);
}

/** An ordinary packet, checksums complete: all zero. */
export function clearVirtio(bytes: Uint8Array, at: number): void {
  // Stores rather than fill(): a call into the runtime for ten bytes costs more than they do.
  writeHost16(bytes, at, 0);
  writeHost16(bytes, at + VIRTIO_HDR_LEN_AT, 0);
  writeHost16(bytes, at + VIRTIO_GSO_SIZE_AT, 0);
  writeHost16(bytes, at + VIRTIO_CSUM_START_AT, 0);
  writeHost16(bytes, at + VIRTIO_CSUM_OFFSET_AT, 0);
}
