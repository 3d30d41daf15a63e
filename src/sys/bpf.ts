/**
 * bpf(2), as far as a counter before a socket's queue needs it: one map, one program of a few
 * instructions, no compiler. Source: linux/bpf.h, linux/bpf_common.h, bpf-helpers(7).
 */
import { addressOf, errno, libc } from './binding.ts';
import * as constants from './constants.ts';
import { type Layout, type Slab, viewOf, writePointer } from './memory.ts';
import * as struct from './struct.ts';

/** The number of the call, which the C library has no wrapper for. */
const NUMBER = process.arch === 'arm64' ? 280 : 321;
/** The part of union bpf_attr that is used here; the kernel takes the rest for zeros. */
const ATTRIBUTES = 72;

/** Counts what comes to a socket before its queue takes or drops it. */
export interface ArrivalFilter {
  readonly map: number;
  readonly program: number;
}

/**
 * Loads a filter that lets all pass, and counts datagrams as UDP_GRO would tell them apart, and the
 * buffers that hold them. Returns the errno where the kernel will not: EPERM without CAP_BPF (Linux
 * 5.8; CAP_SYS_ADMIN before), EINVAL or EACCES before 5.7, ENOSYS where there is no bpf(2).
 */
export function loadArrivalFilter(): ArrivalFilter | number {
  const attributes = new Uint8Array(ATTRIBUTES);
  const words = new Uint32Array(attributes.buffer);
  // Type, size of the key and of the value, entries.
  words.set([constants.BPF_MAP_TYPE_ARRAY, 4, 16, 1]);
  const map = libc.bpf(NUMBER, constants.BPF_MAP_CREATE, attributes, ATTRIBUTES);
  if (map < 0) return errno();
  const program = loadProgram(countArrivals(map));
  if (program >= 0) return { map, program };
  const code = errno();
  libc.close(map);
  return code;
}

function loadProgram(instructions: Uint8Array): number {
  const attributes = new Uint8Array(ATTRIBUTES);
  const view = new DataView(attributes.buffer);
  const license = new TextEncoder().encode('Apache-2.0\0');
  view.setUint32(0, constants.BPF_PROG_TYPE_SOCKET_FILTER, true);
  view.setUint32(4, instructions.length / 8, true);
  view.setBigUint64(8, addressOf(instructions), true);
  view.setBigUint64(16, addressOf(license), true);
  return libc.bpf(NUMBER, constants.BPF_PROG_LOAD, attributes, ATTRIBUTES);
}

type Instruction = readonly [opcode: number, to: number, from: number, offset: number, imm: number];

const UDP_HEADER = 8;

/**
 * For each buffer: 1, or what gso_size cuts its payload into, to the first number of the map, and 1
 * to the second. Registers: r6 the struct __sk_buff, r7 its length, r9 the datagrams in it.
 */
function countArrivals(map: number): Uint8Array {
  return assemble([
    [0xbf, 6, 1, 0, 0], // r6 = r1
    [0x61, 7, 6, struct.SK_BUFF_LENGTH, 0], // r7 = length, UDP header and all
    [0x61, 8, 6, struct.SK_BUFF_GSO_SIZE, 0], // r8 = gso_size
    [0xb7, 9, 0, 0, 1], // r9 = 1
    [0x15, 8, 0, 4, 0], // if r8 == 0 skip 4
    [0xbf, 9, 7, 0, 0], // r9 = r7
    [0x0f, 9, 8, 0, 0], // r9 += r8
    [0x07, 9, 0, 0, -(UDP_HEADER + 1)], // r9 -= 9
    [0x3f, 9, 8, 0, 0], // r9 /= r8
    [0x62, 10, 0, -4, 0], // the key, 0, on the stack
    [0xbf, 2, 10, 0, 0], // r2 = r10
    [0x07, 2, 0, 0, -4], // r2 -= 4
    [0x18, 1, 1, 0, map], // r1 = the map (BPF_PSEUDO_MAP_FD), two slots
    [0, 0, 0, 0, 0],
    [0x85, 0, 0, 0, 1], // r0 = bpf_map_lookup_elem(r1, r2)
    [0x15, 0, 0, 3, 0], // if r0 == 0 skip 3
    [0xdb, 0, 9, 0, 0], // lock *(u64 *)(r0 + 0) += r9
    [0xb7, 1, 0, 0, 1], // r1 = 1
    [0xdb, 0, 1, 8, 0], // lock *(u64 *)(r0 + 8) += r1
    [0xbf, 0, 7, 0, 0], // r0 = r7: let it pass, whole
    [0x95, 0, 0, 0, 0], // exit
  ]);
}

/** struct bpf_insn: opcode, two registers of four bits, offset, immediate. */
function assemble(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(8 * instructions.length);
  const view = new DataView(bytes.buffer);
  for (const [i, [opcode, to, from, offset, imm]] of instructions.entries()) {
    view.setUint8(8 * i, opcode);
    view.setUint8(8 * i + 1, (from << 4) | to);
    view.setInt16(8 * i + 2, offset, true);
    view.setInt32(8 * i + 4, imm, true);
  }
  return bytes;
}

/** What a filter has counted since it was loaded. */
export interface Arrivals {
  datagrams: number;
  buffers: number;
  /** Brings both up to date, and allocates nothing; false where the kernel would not say. */
  read(): boolean;
}

export function createArrivals(slab: Slab, layout: Layout, { map }: ArrivalFilter): Arrivals {
  const at = layout.take(ATTRIBUTES, 16);
  const key = layout.take(4, 8);
  const value = layout.take(16, 8);
  const view = viewOf(slab, at, ATTRIBUTES);
  const { words } = slab;
  words[at >> 2] = map;
  writePointer(slab, at + 8, key);
  writePointer(slab, at + 16, value);
  const number = (offset: number): number => {
    const word = (value + offset) >> 2;
    return (words[word] >>> 0) + (words[word + 1] >>> 0) * 2 ** 32;
  };
  const arrivals: Arrivals = {
    datagrams: 0,
    buffers: 0,
    read() {
      const { BPF_MAP_LOOKUP_ELEM } = constants;
      if (libc.bpf(NUMBER, BPF_MAP_LOOKUP_ELEM, view, ATTRIBUTES) < 0) return false;
      arrivals.datagrams = number(0);
      arrivals.buffers = number(8);
      return true;
    },
  };
  return arrivals;
}
