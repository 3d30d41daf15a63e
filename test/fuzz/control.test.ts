/**
 * Any control messages behind a datagram: the receiver never throws, believes no length that leaves
 * the block, and reads nothing beside it.
 *
 * A case is two bytes of the datagram's length, one of the control length that the kernel claims,
 * and then the control block. recvmmsg(2) is replaced by a function that stores it.
 */
import assert from 'node:assert/strict';
import { libc } from '../../src/sys/binding.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import * as struct from '../../src/sys/struct.ts';
import { createReceiver } from '../../src/udp/receive.ts';
import { fuzz } from '../support/fuzz.ts';
import type { Random } from '../support/random.ts';

/** cmsg(3): size_t length, int level, int type, data; entries begin on 8-byte lines. */
const CMSGHDR = 16;
const HEADER = 3;
const [SOL_UDP, UDP_GRO, SOL_IP, IP_TOS] = [17, 104, 0, 1];
const ENTRIES = 3;

const slab = createSlab(1024 * 1024);
const receiver = createReceiver(slab, layOut(slab), -1, ENTRIES);

interface Heard {
  readonly segmentSize: number;
  readonly typeOfService: number;
}

/** Bytes that a control block may have, by what the receiver hands the kernel. */
function offsetOf(view: DataView, pointer: number): number {
  return (view.getInt32(pointer, true) - slab.low) | 0;
}

/** Receives one datagram whose control block is `control`, among others full of `surroundings`. */
function hear(length: number, claimed: number, control: Uint8Array, surroundings: number): Heard {
  libc.recvmmsg = (_fd, messages) => {
    const view = new DataView(messages!.buffer);
    const first = messages!.byteOffset;
    for (let i = 0; i < ENTRIES; i++) {
      const header = first + i * struct.MMSGHDR_SIZE;
      const block = offsetOf(view, header + struct.MSGHDR_CONTROL);
      const room = view.getInt32(header + struct.MSGHDR_CONTROL_LENGTH, true);
      const used = Math.min(claimed, room);
      slab.bytes.fill(surroundings, block, block + room);
      if (i === 1) slab.bytes.set(control.subarray(0, used), block);
      view.setInt32(header + struct.MSGHDR_CONTROL_LENGTH, i === 1 ? used : 0, true);
      view.setInt32(header + struct.MMSGHDR_LENGTH, length, true);
    }
    return ENTRIES;
  };
  assert.equal(receiver.receive(), ENTRIES);
  for (const other of [0, 2]) assert.equal(receiver.segmentSize[other], length);
  return { segmentSize: receiver.segmentSize[1], typeOfService: receiver.typeOfService[1] };
}

/** The messages by cmsg(3), each whole inside the block; the last of a kind counts. */
function slowHear(length: number, block: Uint8Array): Heard {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const heard = { segmentSize: length, typeOfService: 0 };
  for (let at = 0; at + CMSGHDR < block.length; ) {
    const size = view.getInt32(at, true);
    if (size <= CMSGHDR || at + size > block.length) break;
    const kind = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
    const data = at + CMSGHDR;
    if (kind[0] === SOL_UDP && kind[1] === UDP_GRO && size >= CMSGHDR + 4) {
      const gro = view.getInt32(data, true);
      if (gro > 0 && gro < length) heard.segmentSize = gro;
    }
    if (kind[0] === SOL_IP && kind[1] === IP_TOS) heard.typeOfService = block[data];
    at += Math.ceil(size / 8) * 8;
  }
  return heard;
}

function check(given: Uint8Array): string {
  const length = ((given[0] ?? 0) << 8) | (given[1] ?? 0);
  const room = 96;
  const claimed = Math.min(given[2] ?? 0, room, Math.max(given.length - HEADER, 0));
  const block = given.slice(HEADER, HEADER + claimed);
  const heard = hear(length, claimed, block, 0x00);
  assert.deepEqual(hear(length, claimed, block, 0xff), heard, 'what lies around must not matter');
  assert.deepEqual(heard, slowHear(length, block));
  if (heard.segmentSize !== length) return heard.typeOfService === 0 ? 'size' : 'both';
  return heard.typeOfService === 0 ? 'nothing' : 'TOS';
}

function message(random: Random): number[] {
  const [level, type] = random.pick([
    [SOL_UDP, UDP_GRO],
    [SOL_IP, IP_TOS],
    [random.below(256), random.below(256)],
  ]);
  const size = random.pick([1, 4, 4, 4, 8, random.below(30)]);
  const value = [random.below(256), random.below(8), 0, 0];
  const data = Array.from({ length: size }, (_, i) => value[i] ?? 0);
  const padding = new Array((8 - (size % 8)) % 8).fill(0);
  const words = [CMSGHDR + size, 0, level, type];
  return [...words.flatMap((word) => [word & 0xff, word >> 8, 0, 0]), ...data, ...padding];
}

function generate(random: Random): Uint8Array {
  const messages = Array.from({ length: random.below(5) }, () => message(random)).flat();
  const length = random.pick([0, 1, 1400, 65_535, random.below(65_536)]);
  const claimed = random.oneIn(4) ? random.below(100) : Math.min(96, messages.length);
  return Uint8Array.of(length >> 8, length & 0xff, claimed, ...messages);
}

fuzz({ name: 'control', generate, check, kinds: ['nothing', 'size', 'TOS', 'both'] });
