/**
 * A persistent TUN with what an earlier owner may have left in it. This file is also the program
 * that makes it, in the namespace that it is started in:
 *
 *   leave DEVICE FLAGS NAME=VALUE...   opens a queue, makes each ioctl, closes it again
 *   hold DEVICE FLAGS                  opens a queue, says `held`, and keeps it
 */
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { addressOf, libc } from '../../src/sys/binding.ts';
import * as constants from '../../src/sys/constants.ts';
import { check } from '../../src/sys/errno.ts';
import { IFREQ_FLAGS, IFREQ_SIZE } from '../../src/sys/struct.ts';
import { Background, run } from './process.ts';
import { inside } from './topology.ts';

const PROGRAM = fileURLToPath(import.meta.url);

/** linux/if_tun.h, beside those that weft has. */
const REQUESTS: Readonly<Record<string, number>> = {
  owner: constants.TUNSETOWNER,
  group: constants.TUNSETGROUP,
  link: 0x400454cd,
  offload: constants.TUNSETOFFLOAD,
  sndbuf: 0x400454d4,
  hdrsz: constants.TUNSETVNETHDRSZ,
  le: constants.TUNSETVNETLE,
  steering: constants.TUNSETSTEERINGEBPF,
  filter: constants.TUNSETFILTEREBPF,
  carrier: constants.TUNSETCARRIER,
  persist: 0x400454cb,
};
/** Those that take the number itself. */
const BY_VALUE = new Set(['owner', 'group', 'link', 'offload', 'persist']);
/** Those that take a program; the value is what it returns. */
const PROGRAMS = new Set(['steering', 'filter']);

export const FLAGS = {
  ours: constants.IFF_TUN | constants.IFF_NO_PI | constants.IFF_MULTI_QUEUE,
  withHeader:
    constants.IFF_TUN | constants.IFF_NO_PI | constants.IFF_MULTI_QUEUE | constants.IFF_VNET_HDR,
  withInformation: constants.IFF_TUN | constants.IFF_MULTI_QUEUE,
  /** IFF_NAPI */
  withNapi: constants.IFF_TUN | constants.IFF_NO_PI | constants.IFF_MULTI_QUEUE | 0x0010,
  single: constants.IFF_TUN | constants.IFF_NO_PI,
} as const;

/** Leaves a persistent device behind; `settings` as `offload=2`. */
export function leaveDevice(
  namespace: string,
  device: string,
  flags: number,
  settings: readonly string[],
): void {
  run(inside(namespace, [process.execPath, PROGRAM, 'leave', device, `${flags}`, ...settings]));
}

/** A process that holds a queue until it is stopped. */
export async function holdDevice(
  namespace: string,
  device: string,
  flags: number = FLAGS.ours,
): Promise<Background> {
  const argv = [process.execPath, PROGRAM, 'hold', device, `${flags}`];
  const holder = new Background(inside(namespace, argv));
  await holder.waitForOutput(/held/);
  return holder;
}

function attach(device: string, flags: number): number {
  const fd = check(libc.open('/dev/net/tun', constants.O_RDWR), 'open', '/dev/net/tun');
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(device));
  new DataView(request.buffer).setUint16(IFREQ_FLAGS, flags, true);
  check(libc.ioctl(fd, constants.TUNSETIFF, request), 'TUNSETIFF', device);
  return fd;
}

function set(fd: number, name: string, value: number): void {
  const request = REQUESTS[name]!;
  const given = PROGRAMS.has(name) ? loadProgram(value) : value;
  const done = BY_VALUE.has(name)
    ? libc.ioctlValue(fd, request, given)
    : libc.ioctl(fd, request, new Uint8Array(Int32Array.of(given).buffer));
  check(done, name, `${name}=${value}`);
}

/** bpf(2): a socket filter of two instructions, `r0 = value; exit`. Returns its descriptor. */
function loadProgram(value: number): number {
  const CALLS: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };
  const BPF_PROG_LOAD = 5;
  const BPF_PROG_TYPE_SOCKET_FILTER = 1;
  const call = koffi
    .load(null)
    .func('long syscall(long number, int command, void *attributes, unsigned int size)');
  const instructions = Buffer.alloc(16);
  instructions.writeUInt8(0xb7, 0); // BPF_ALU64 | BPF_MOV | BPF_K
  instructions.writeInt32LE(value, 4);
  instructions.writeUInt8(0x95, 8); // BPF_JMP | BPF_EXIT
  const license = Buffer.from('GPL\0');
  const attributes = Buffer.alloc(48);
  attributes.writeUInt32LE(BPF_PROG_TYPE_SOCKET_FILTER, 0);
  attributes.writeUInt32LE(2, 4);
  attributes.writeBigUInt64LE(addressOf(instructions), 8);
  attributes.writeBigUInt64LE(addressOf(license), 16);
  return check(
    Number(call(CALLS[process.arch]!, BPF_PROG_LOAD, attributes, attributes.length)),
    'bpf',
    'cannot load a program',
  );
}

function main([verb, device = '', flags = '', ...settings]: readonly string[]): void {
  const fd = attach(device, Number(flags));
  if (verb === 'hold') {
    console.log('held');
    setInterval(() => {}, 1_000_000);
    return;
  }
  set(fd, 'persist', 1);
  for (const setting of settings) {
    const [name = '', value] = setting.split('=');
    set(fd, name, Number(value));
  }
  libc.close(fd);
}

if (process.argv[1] === PROGRAM) main(process.argv.slice(2));
