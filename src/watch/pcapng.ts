/**
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, one interface, times in
 * microseconds. Each function makes one whole block; pure.
 */

export interface SectionOptions {
  /** What made the file, and on what. */
  readonly application: string;
  readonly hardware?: string;
  readonly system?: string;
}

export interface InterfaceOptions {
  readonly name: string;
  readonly description: string;
  /** Most bytes of a packet. */
  readonly snapLength: number;
  /** In the words of whoever asked for it. */
  readonly filter?: string;
}

export interface PacketOptions {
  /** Unix time in microseconds. */
  readonly micros: number;
  /** What was kept of it, and how long it was. */
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly inbound: boolean;
  readonly comment?: string;
  /** Packets that were lost between the one before and this one. */
  readonly lostBefore?: number;
}

export interface StatisticsOptions {
  readonly startMicros: number;
  readonly endMicros: number;
  readonly received: number;
  readonly dropped: number;
  readonly comment?: string;
}

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
export const INTERFACE_STATISTICS = 5;
export const ENHANCED_PACKET = 6;
/** A packet begins with its IPv4 or IPv6 header; the registry of link types. */
export const LINKTYPE_RAW = 101;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const MAJOR_VERSION = 1;
const UNKNOWN_LENGTH = 0xffffffff;
/** A power of ten, which is also what readers assume. */
const MICROSECONDS = 6;
const WORD = 2 ** 32;
/** Type, length, and length again at the end. */
const FRAME_BYTES = 12;
/** Option lengths have sixteen bits; texts longer than this are cut. */
const MOST_TEXT_BYTES = 65_528;

/** Option codes; those from 2 on mean something else in each block. */
export const OPT_END = 0;
const OPT_COMMENT = 1;
const SHB_HARDWARE = 2;
const SHB_OS = 3;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const IF_FILTER = 11;
const EPB_FLAGS = 2;
const EPB_DROPCOUNT = 4;
const ISB_STARTTIME = 2;
const ISB_ENDTIME = 3;
const ISB_IFRECV = 4;
export const ISB_IFDROP = 5;
/** The direction bits of epb_flags. */
const INBOUND = 1;
const OUTBOUND = 2;

type Option = readonly [code: number, value: Uint8Array];

/** Begins a file. */
export function sectionHeader({ application, hardware, system }: SectionOptions): Uint8Array {
  const fixed = new Uint8Array(16);
  const view = new DataView(fixed.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, MAJOR_VERSION, true);
  view.setUint32(8, UNKNOWN_LENGTH, true);
  view.setUint32(12, UNKNOWN_LENGTH, true);
  return block(SECTION_HEADER, fixed, [
    ...text(SHB_HARDWARE, hardware),
    ...text(SHB_OS, system),
    ...text(SHB_USERAPPL, application),
  ]);
}

/** Declares the one interface, number 0; comes before its packets. */
export function interfaceDescription(options: InterfaceOptions): Uint8Array {
  const { name, description, snapLength, filter } = options;
  const fixed = new Uint8Array(8);
  const view = new DataView(fixed.buffer);
  view.setUint16(0, LINKTYPE_RAW, true);
  view.setUint32(4, snapLength, true);
  return block(INTERFACE_DESCRIPTION, fixed, [
    ...text(IF_NAME, name),
    ...text(IF_DESCRIPTION, description),
    [IF_TSRESOL, Uint8Array.of(MICROSECONDS)],
    // Its first byte says what language the filter is in; 0 is that of people.
    ...text(IF_FILTER, filter === undefined ? undefined : `\0${filter}`),
  ]);
}

/** One packet. */
export function enhancedPacket(packet: PacketOptions): Uint8Array {
  const { micros, bytes, length, inbound, comment, lostBefore = 0 } = packet;
  const fixed = new Uint8Array(20 + padded(bytes.length));
  const view = new DataView(fixed.buffer);
  view.setUint32(4, Math.floor(micros / WORD), true);
  view.setUint32(8, micros % WORD, true);
  view.setUint32(12, bytes.length, true);
  view.setUint32(16, length, true);
  fixed.set(bytes, 20);
  return block(ENHANCED_PACKET, fixed, [
    ...text(OPT_COMMENT, comment),
    [EPB_FLAGS, word(inbound ? INBOUND : OUTBOUND)],
    ...(lostBefore === 0 ? [] : [[EPB_DROPCOUNT, long(lostBefore)] as const]),
  ]);
}

/** What became of all packets of the interface up to a moment; the last one counts. */
export function interfaceStatistics(statistics: StatisticsOptions): Uint8Array {
  const { startMicros, endMicros, received, dropped, comment } = statistics;
  const fixed = new Uint8Array(12);
  fixed.set(time(endMicros), 4);
  return block(INTERFACE_STATISTICS, fixed, [
    ...text(OPT_COMMENT, comment),
    [ISB_STARTTIME, time(startMicros)],
    [ISB_ENDTIME, time(endMicros)],
    [ISB_IFRECV, long(received)],
    [ISB_IFDROP, long(dropped)],
  ]);
}

function block(type: number, fixed: Uint8Array, options: readonly Option[]): Uint8Array {
  const sizes = options.map(([, value]) => 4 + padded(value.length));
  const ending = options.length === 0 ? 0 : 4;
  const length = sizes.reduce((sum, size) => sum + size, FRAME_BYTES + fixed.length + ending);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(fixed, 8);
  let at = 8 + fixed.length;
  for (const [code, value] of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  if (ending > 0) view.setUint16(at, OPT_END, true);
  view.setUint32(length - 4, length, true);
  return bytes;
}

/** Options begin at words. */
export const padded = (length: number): number => (length + 3) & ~3;

function text(code: number, value: string | undefined): Option[] {
  if (value === undefined || value === '') return [];
  const bytes = new TextEncoder().encode(value);
  if (bytes.length <= MOST_TEXT_BYTES) return [[code, bytes]];
  // Whole characters only: a cut one would be no UTF-8.
  const cut = new TextDecoder()
    .decode(bytes.subarray(0, MOST_TEXT_BYTES - 3))
    .replace(/\uFFFD+$/, '');
  return [[code, new TextEncoder().encode(cut)]];
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** A 64-bit number, low word first. */
function long(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, value % WORD, true);
  view.setUint32(4, Math.floor(value / WORD), true);
  return bytes;
}

/** A time: two words, the high one first whatever the byte order. */
function time(micros: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(micros / WORD), true);
  view.setUint32(4, micros % WORD, true);
  return bytes;
}
