/**
 * The way out over a scripted kernel: sendmmsg, poll, the clock and what the path MTU is asked with
 * are replaced until `restore`. A message is read as the kernel would, and cut by its UDP_SEGMENT;
 * datagrams are told apart by a number in the place of the inner source address.
 */
import koffi from 'koffi';
import * as counters from '../../src/dataplane/counters.ts';
import { createEgress, type Egress } from '../../src/dataplane/out/egress.ts';
import { libc } from '../../src/sys/binding.ts';
import * as constants from '../../src/sys/constants.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import * as struct from '../../src/sys/struct.ts';

export const FIRST_LANE_FD = 100;
export const PATH_MTU = 1400;
const WAKE_FD = 99;
const PROBE_FD = 98;
const HEADER = 40;
const ACCOUNTS = 16;

export interface Message {
  /** Last byte of the peer's address. */
  readonly peer: number;
  /** Numbers of the datagrams that it carries. */
  readonly numbers: readonly number[];
  readonly sizes: readonly number[];
  readonly typeOfService: number;
}

/** What the kernel is asked: `messages` on a socket, with DF or without; `call` counts from 0. */
export interface Ask {
  readonly fd: number;
  readonly messages: readonly Message[];
  readonly fragments: boolean;
  readonly call: number;
}

export interface Script {
  /** How many messages go, or minus an errno. All, if there is no script. */
  send?(ask: Ask): number;
  /** A wait of so many milliseconds: what poll returns; `rig.pass` lets time go by. */
  poll?(milliseconds: number): number;
  /** 0: the kernel cannot tell. */
  pathMtu?: number;
}

export interface RigOptions {
  readonly lanes?: number;
  readonly datagrams?: number;
}

export interface Fields {
  readonly peer?: number;
  readonly size?: number;
  readonly lane?: number;
  readonly dontFragment?: boolean;
  readonly typeOfService?: number;
  /** The superpacket that it was cut from, by a number below 64 of the test's own. */
  readonly packet?: number;
}

export type EgressRig = ReturnType<typeof createEgressRig>;

export function createEgressRig(script: Script = {}, options: RigOptions = {}) {
  const { lanes = 1, datagrams = 127 } = options;
  const slab = createSlab(8 * 1024 * 1024);
  const layout = layOut(slab);
  const block = new Float64Array(counters.BLOCK_SLOTS);
  const accounts = new Float64Array(ACCOUNTS * counters.ACCOUNT_SLOTS);
  const limits = { datagrams };
  const told: { packet: number; mtu: number }[] = [];
  const calls: Ask[] = [];
  const sent: Message[] = [];
  const waits: number[] = [];
  const fragmenting = new Set<number>();
  const rig = {
    ...{ block, accounts, limits, told, calls, sent, waits, fragmenting },
    lowered: 0,
    pushed: 0,
    /** The scripted clock, in microseconds. */
    now: 0,
    pass(milliseconds: number) {
      rig.now += milliseconds * 1000;
    },
    wake: false,
    add,
    addMany(count: number, fields: Fields = {}) {
      for (let i = 0; i < count; i++) add(fields);
    },
    flush() {
      egress.flush(table);
    },
    drops,
    callCounts,
    restore,
  };
  const egress: Egress = createEgress({
    ...{ slab, layout, block, accounts, limits, port: 8285, bindAddress: 0x7f000001 },
    tap: { mode: 0 } as never,
    answer: {
      unreachable() {},
      timeExceeded() {},
      mayTellMtu: () => true,
      fragNeeded: (_table, at, _length, mtu) => told.push({ packet: (at - packets) / 64, mtu }),
    },
    sockets: Int32Array.from({ length: lanes }, (_, lane) => FIRST_LANE_FD + lane),
    wake: WAKE_FD,
    lowerSegmentation: () => rig.lowered++,
  });
  const table = new Int32Array(16);
  const packets = layout.take(64 * 64, 64);
  const arena = layout.take(4 * 1024 * 1024, 64);
  let next = arena;

  /** Queues a datagram in two slices, its header and what follows; returns its number. */
  function add(fields: Fields = {}): number {
    const { peer = 2, size = 1000, lane = 0, dontFragment = true, typeOfService = 0 } = fields;
    if (next + size + 64 > arena + 4 * 1024 * 1024) next = arena;
    const at = next;
    next += (size + 63) & ~63;
    const number = rig.pushed++;
    new DataView(slab.memory.buffer).setUint32(at + 12, number);
    const packet = fields.packet === undefined ? at : packets + fields.packet * 64;
    slab.bytes[packet] = 0x45;
    slab.bytes[packet + 2] = size >>> 8;
    slab.bytes[packet + 3] = size;
    slab.bytes[packet + 6] = dontFragment ? 0x40 : 0;
    const header = Math.min(HEADER, size);
    egress.sender.addSlice(at, header);
    if (size > header) egress.sender.addSlice(at + header, size - header);
    const to = { peer: 0xc0000200 | peer, account: peer };
    egress.push(to, size, packet, (lane << 8) | typeOfService);
    return number;
  }

  function drops(): Record<string, number> {
    const counted = counters.TX_DROPS.map(([slot, label]) => [label, block[slot]] as const);
    return Object.fromEntries(counted.filter(([, count]) => count !== 0));
  }

  function callCounts(first: number) {
    const [ok, again, error] = [0, 1, 2].map((result) => block[first + result]);
    return { ok, again, error };
  }

  function fail(code: number): number {
    koffi.errno(code);
    return -1;
  }

  const fakes: Partial<typeof libc> = {
    sendmmsg(fd, view, count) {
      const messages = Array.from({ length: count }, (_, i) => readMessage(view!, i));
      const ask = { fd, messages, fragments: fragmenting.has(fd), call: calls.length };
      calls.push(ask);
      const result = script.send === undefined ? count : script.send(ask);
      if (result < 0) return fail(-result);
      sent.push(...messages.slice(0, result));
      return result;
    },
    poll(view, _count, milliseconds) {
      waits.push(milliseconds);
      const ready = script.poll === undefined ? 1 : script.poll(milliseconds);
      new DataView(view!.buffer, view!.byteOffset).setInt16(
        struct.POLLFD_SIZE + struct.POLLFD_REVENTS,
        rig.wake ? constants.POLLIN : 0,
        true,
      );
      return ready;
    },
    clock_gettime(_clock, view) {
      const time = new DataView(view!.buffer, view!.byteOffset);
      time.setInt32(struct.TIMESPEC_SECONDS, Math.floor(rig.now / 1e6), true);
      time.setInt32(struct.TIMESPEC_NANOSECONDS, (rig.now % 1e6) * 1000, true);
      return 0;
    },
    setsockopt(fd, level, name, value) {
      if (level !== constants.IPPROTO_IP || name !== constants.IP_MTU_DISCOVER) return fail(22);
      if (value![0] === constants.IP_PMTUDISC_DONT) fragmenting.add(fd);
      else fragmenting.delete(fd);
      return 0;
    },
    socket: () => PROBE_FD,
    bind: () => 0,
    connect: () => (script.pathMtu === 0 ? fail(constants.AF_INET) : 0),
    getsockopt(_fd, _level, _name, value) {
      new DataView(value!.buffer, value!.byteOffset).setInt32(0, script.pathMtu ?? PATH_MTU, true);
      return 0;
    },
    close: () => 0,
  };
  const originals = { ...libc };
  Object.assign(libc, fakes);

  function restore(): void {
    Object.assign(libc, originals);
  }

  function readMessage(view: Uint8Array, index: number): Message {
    const fields = new DataView(view.buffer);
    const at = view.byteOffset + index * struct.MMSGHDR_SIZE;
    const pointer = (where: number) => (fields.getInt32(where, true) - slab.low) | 0;
    const name = pointer(at + struct.MSGHDR_NAME);
    const iovec = pointer(at + struct.MSGHDR_IOVEC);
    const iovecs = fields.getInt32(at + struct.MSGHDR_IOVEC_LENGTH, true);
    const slices: Uint8Array[] = [];
    for (let i = 0; i < iovecs; i++) {
      const entry = iovec + i * struct.IOVEC_SIZE;
      const base = pointer(entry + struct.IOVEC_BASE);
      const length = fields.getInt32(entry + struct.IOVEC_LENGTH, true);
      slices.push(slab.bytes.subarray(base, base + length));
    }
    const whole = Buffer.concat(slices);
    const { segment, typeOfService } = readControl(fields, at, pointer);
    const size = segment === 0 ? whole.length : segment;
    const message = { numbers: [] as number[], sizes: [] as number[] };
    for (let from = 0; from < whole.length; from += size) {
      message.numbers.push(whole.readUInt32BE(from + 12));
      message.sizes.push(Math.min(size, whole.length - from));
    }
    return { peer: slab.bytes[name + struct.SOCKADDR_ADDRESS + 3]!, typeOfService, ...message };
  }

  return rig;
}

function readControl(fields: DataView, message: number, pointer: (where: number) => number) {
  let entry = pointer(message + struct.MSGHDR_CONTROL);
  const end = entry + fields.getInt32(message + struct.MSGHDR_CONTROL_LENGTH, true);
  const found = { segment: 0, typeOfService: 0 };
  for (; entry < end; entry += 24) {
    const type = fields.getInt32(entry + struct.CMSGHDR_TYPE, true);
    const data = entry + struct.CMSGHDR_DATA;
    if (type === constants.UDP_SEGMENT) found.segment = fields.getUint16(data, true);
    if (type === constants.IP_TOS) found.typeOfService = fields.getInt32(data, true);
  }
  return found;
}
