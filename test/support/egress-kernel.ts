/**
 * A scripted kernel below the way out: sendmmsg, poll, the clock and what the path MTU is asked
 * with are replaced until `restore`. A message is read as the kernel would, and cut by its
 * UDP_SEGMENT; datagrams are told apart by a number in the place of the inner source address.
 */
import koffi from 'koffi';
import { libc } from '../../src/sys/binding.ts';
import * as constants from '../../src/sys/constants.ts';
import { EINVAL, ENETUNREACH } from '../../src/sys/errno.ts';
import type { Slab } from '../../src/sys/memory.ts';
import * as struct from '../../src/sys/struct.ts';

export const PATH_MTU = 1400;
const PROBE_FD = 98;
const CONTROL_ENTRY = 24;

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
  /** A wait of so many milliseconds: what poll returns; `pass` lets time go by. */
  poll?(milliseconds: number): number;
  /** 0: the kernel cannot tell. */
  pathMtu?: number;
}

/** What the kernel saw, and what a test may set. */
export class ScriptedKernel {
  readonly calls: Ask[] = [];
  readonly sent: Message[] = [];
  /** Timeouts of polls, in milliseconds. */
  readonly waits: number[] = [];
  /** Sockets whose datagrams may be fragmented now. */
  readonly fragmenting = new Set<number>();
  /** The clock, in microseconds. */
  now = 0;
  /** Whether the pump's wake-up is readable. */
  wake = false;
  private readonly slab: Slab;
  private readonly script: Script;
  private readonly originals = { ...libc };

  constructor(slab: Slab, script: Script) {
    this.slab = slab;
    this.script = script;
    const pathMtu = script.pathMtu ?? PATH_MTU;
    const fakes: Partial<typeof libc> = {
      sendmmsg: (fd, view, count) => this.sendmmsg(fd, view!, count),
      poll: (view, _count, milliseconds) => this.poll(fieldsOf(view!), milliseconds),
      clock_gettime: (_clock, view) => this.readClock(fieldsOf(view!)),
      setsockopt: (fd, level, name, value) => this.setDiscovery(fd, [level, name, value![0]!]),
      socket: () => PROBE_FD,
      bind: () => 0,
      connect: () => (pathMtu === 0 ? fail(ENETUNREACH) : 0),
      getsockopt(_fd, _level, _name, value) {
        fieldsOf(value!).setInt32(0, pathMtu, true);
        return 0;
      },
      close: () => 0,
    };
    Object.assign(libc, fakes);
  }

  restore(): void {
    Object.assign(libc, this.originals);
  }

  pass(milliseconds: number): void {
    this.now += milliseconds * 1000;
  }

  private sendmmsg(fd: number, view: Uint8Array, count: number): number {
    const messages = Array.from({ length: count }, (_, i) => this.readMessage(view, i));
    const fragments = this.fragmenting.has(fd);
    const ask = { fd, messages, fragments, call: this.calls.length };
    this.calls.push(ask);
    const result = this.script.send === undefined ? count : this.script.send(ask);
    if (result < 0) return fail(-result);
    this.sent.push(...messages.slice(0, result));
    return result;
  }

  private poll(pollfds: DataView, milliseconds: number): number {
    this.waits.push(milliseconds);
    const ready = this.script.poll === undefined ? 1 : this.script.poll(milliseconds);
    const second = struct.POLLFD_SIZE + struct.POLLFD_REVENTS;
    pollfds.setInt16(second, this.wake ? constants.POLLIN : 0, true);
    return ready;
  }

  private readClock(timespec: DataView): number {
    timespec.setInt32(struct.TIMESPEC_SECONDS, Math.floor(this.now / 1e6), true);
    timespec.setInt32(struct.TIMESPEC_NANOSECONDS, (this.now % 1e6) * 1000, true);
    return 0;
  }

  private setDiscovery(fd: number, option: readonly number[]): number {
    const [level, name, value] = option;
    const { IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT } = constants;
    if (level !== IPPROTO_IP || name !== IP_MTU_DISCOVER) return fail(EINVAL);
    if (value === IP_PMTUDISC_DONT) this.fragmenting.add(fd);
    else this.fragmenting.delete(fd);
    return 0;
  }

  private readMessage(view: Uint8Array, index: number): Message {
    const { bytes, low } = this.slab;
    const fields = new DataView(view.buffer);
    const at = view.byteOffset + index * struct.MMSGHDR_SIZE;
    const pointer = (where: number) => (fields.getInt32(where, true) - low) | 0;
    const name = pointer(at + struct.MSGHDR_NAME);
    const iovec = pointer(at + struct.MSGHDR_IOVEC);
    const iovecs = fields.getInt32(at + struct.MSGHDR_IOVEC_LENGTH, true);
    const slices = Array.from({ length: iovecs }, (_, i) => {
      const entry = iovec + i * struct.IOVEC_SIZE;
      const base = pointer(entry + struct.IOVEC_BASE);
      return bytes.subarray(base, base + fields.getInt32(entry + struct.IOVEC_LENGTH, true));
    });
    const whole = Buffer.concat(slices);
    const { segment, typeOfService } = readControl(fields, at, pointer);
    const size = segment === 0 ? whole.length : segment;
    const message = { numbers: [] as number[], sizes: [] as number[] };
    for (let from = 0; from < whole.length; from += size) {
      message.numbers.push(whole.readUInt32BE(from + 12));
      message.sizes.push(Math.min(size, whole.length - from));
    }
    return { peer: bytes[name + 7]!, typeOfService, ...message };
  }
}

function fail(code: number): number {
  koffi.errno(code);
  return -1;
}

function fieldsOf(view: Uint8Array): DataView {
  return new DataView(view.buffer, view.byteOffset, view.byteLength);
}

function readControl(fields: DataView, message: number, pointer: (where: number) => number) {
  let entry = pointer(message + struct.MSGHDR_CONTROL);
  const end = entry + fields.getInt32(message + struct.MSGHDR_CONTROL_LENGTH, true);
  const found = { segment: 0, typeOfService: 0 };
  for (; entry < end; entry += CONTROL_ENTRY) {
    const type = fields.getInt32(entry + struct.CMSGHDR_TYPE, true);
    const data = entry + struct.CMSGHDR_DATA;
    if (type === constants.UDP_SEGMENT) found.segment = fields.getUint16(data, true);
    if (type === constants.IP_TOS) found.typeOfService = fields.getInt32(data, true);
  }
  return found;
}
