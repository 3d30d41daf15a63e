/**
 * Opens queues of a TUN device. A device made with IFF_MULTI_QUEUE has one queue a descriptor; the
 * kernel spreads flows over them, so a queue that nobody reads is a black hole for its flows. A
 * persistent device remembers more than TUNSETIFF says again: each queue sets all of it.
 * Source: Documentation/networking/tuntap.rst, linux/if_tun.h, drivers/net/tun.c.
 */
import { libc } from '../sys/binding.ts';
import * as constants from '../sys/constants.ts';
import { check, EBUSY, EINVAL, ENOENT, EPERM, SyscallError } from '../sys/errno.ts';
import { IFNAMSIZ, IFREQ_FLAGS, IFREQ_NAME, IFREQ_SIZE } from '../sys/struct.ts';
import { VIRTIO_HEADER_LENGTH } from '../wire/virtio.ts';

const CLONE_DEVICE = '/dev/net/tun';
/** User and group. */
const ROOT = 0;

/** What a queue was opened with. */
export interface Queue {
  readonly fd: number;
  /** Whether a virtio_net_hdr goes before each packet. */
  readonly vnetHeader: boolean;
  /** Whether the kernel may hand over TCP superpackets, and UDP ones. */
  readonly tso: boolean;
  readonly uso: boolean;
}

export interface QueueWishes {
  readonly vnetHeader: boolean;
  readonly tso: boolean;
  readonly uso: boolean;
}

/**
 * Opens one more queue of `device`, non-blocking, with as many of the wishes as the kernel grants:
 * USO needs Linux 6.2, and an older kernel refuses the whole mask, so the ladder is tried from the
 * top. Throws SyscallError naming the cure.
 */
export function openQueue(device: string, wishes: QueueWishes): Queue {
  const fd = attach(device, wishes.vnetHeader);
  try {
    forgetPast(fd);
    return { fd, ...offerMost(fd, wishes) };
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/**
 * The mask is the device's, and what an earlier owner left in it stays in force: a queue without
 * virtio_net_hdr would be handed superpackets as if they were packets.
 */
function offerMost(fd: number, { vnetHeader, tso, uso }: QueueWishes): Omit<Queue, 'fd'> {
  const masks: (readonly [boolean, boolean])[] = [
    [true, true],
    [true, false],
    [false, true],
  ];
  for (const [withTso, withUso] of vnetHeader ? masks : []) {
    const wished = (tso || !withTso) && (uso || !withUso);
    if (wished && offer(fd, withTso, withUso)) return { vnetHeader, tso: withTso, uso: withUso };
  }
  if (!offer(fd, false, false)) check(-1, 'TUNSETOFFLOAD', 'cannot turn offloads off');
  return { vnetHeader, tso: false, uso: false };
}

/**
 * What a persistent device keeps of those who had it before: the length and byte order of its
 * virtio_net_hdr, programs that choose a queue or filter packets, a carrier that was taken away,
 * and the user who may attach queues. Without one every user may, where /dev/net/tun is open to
 * all, and would get a share of the flows. A kernel that lacks one of these calls has nothing to
 * forget; but the length must be ours.
 */
function forgetPast(fd: number): void {
  const set = (request: number, value: number): number =>
    libc.ioctl(fd, request, new Uint8Array(Int32Array.of(value).buffer));
  const size = set(constants.TUNSETVNETHDRSZ, VIRTIO_HEADER_LENGTH);
  check(size, 'TUNSETVNETHDRSZ', `cannot have a virtio_net_hdr of ${VIRTIO_HEADER_LENGTH} bytes`);
  set(constants.TUNSETVNETBE, 0);
  set(constants.TUNSETVNETLE, 1);
  set(constants.TUNSETSTEERINGEBPF, -1);
  set(constants.TUNSETFILTEREBPF, -1);
  set(constants.TUNSETCARRIER, 1);
  libc.ioctlValue(fd, constants.TUNSETOWNER, ROOT);
  libc.ioctlValue(fd, constants.TUNSETGROUP, ROOT);
}

function attach(device: string, vnetHeader: boolean): number {
  const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_CLOEXEC;
  const fd = libc.open(CLONE_DEVICE, flags);
  check(fd, 'open', `cannot open ${CLONE_DEVICE}; is the tun module there and the device allowed?`);
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(device).subarray(0, IFNAMSIZ - 1), IFREQ_NAME);
  const { IFF_TUN, IFF_NO_PI, IFF_MULTI_QUEUE, IFF_VNET_HDR } = constants;
  const wanted = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | (vnetHeader ? IFF_VNET_HDR : 0);
  new DataView(request.buffer).setUint16(IFREQ_FLAGS, wanted, true);
  try {
    check(libc.ioctl(fd, constants.TUNSETIFF, request), 'TUNSETIFF', `cannot attach to ${device}`);
  } catch (error) {
    libc.close(fd);
    throw explain(error, device);
  }
  return fd;
}

function explain(error: unknown, device: string): unknown {
  if (!(error instanceof SyscallError)) return error;
  const cures = new Map([
    [EBUSY, `${device} is held by another process; stop it or choose another --dev`],
    [EPERM, `attaching to ${device} needs CAP_NET_ADMIN`],
    [ENOENT, `${device} has gone`],
    [EINVAL, `${device} is no multi-queue TUN device: choose another --dev`],
  ]);
  return new SyscallError(error.call, error.code, cures.get(error.code) ?? error.message);
}

/** TUNSETOFFLOAD is device-wide, so every queue repeats the same mask. */
function offer(fd: number, tso: boolean, uso: boolean): boolean {
  // Without TUN_F_CSUM the kernel takes no other bit; alone it lets checksums stay unfinished.
  let mask = constants.TUN_F_CSUM;
  if (tso) mask |= constants.TUN_F_TSO4 | constants.TUN_F_TSO6;
  if (uso) mask |= constants.TUN_F_USO4 | constants.TUN_F_USO6;
  if (!tso && !uso) mask = 0;
  return libc.ioctlValue(fd, constants.TUNSETOFFLOAD, mask) === 0;
}
