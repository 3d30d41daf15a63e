/**
 * Byte offsets of kernel structs, equal on x86-64 and arm64 Linux (LP64, little-endian); their
 * headers stand in native-notes/structs.md.
 */
import { endianness } from 'node:os';
import { assert } from '../assert.ts';

assert(endianness() === 'LE', 'struct layouts are for little-endian machines');
assert(
  process.arch === 'x64' || process.arch === 'arm64',
  `struct layouts are for x86-64 and arm64, this is ${process.arch}`,
);

/** struct iovec (bits/types/struct_iovec.h). */
export const IOVEC_BASE = 0;
export const IOVEC_LENGTH = 8;
export const IOVEC_SIZE = 16;

/** struct msghdr inside struct mmsghdr (bits/socket.h). */
export const MSGHDR_NAME = 0;
export const MSGHDR_NAME_LENGTH = 8;
export const MSGHDR_IOVEC = 16;
export const MSGHDR_IOVEC_LENGTH = 24;
export const MSGHDR_CONTROL = 32;
export const MSGHDR_CONTROL_LENGTH = 40;
export const MSGHDR_FLAGS = 48;
export const MMSGHDR_LENGTH = 56;
export const MMSGHDR_SIZE = 64;

/** struct cmsghdr: size_t length, int level, int type, then data; entries aligned to 8. */
export const CMSGHDR_LENGTH = 0;
export const CMSGHDR_LEVEL = 8;
export const CMSGHDR_TYPE = 12;
export const CMSGHDR_DATA = 16;

/** struct sockaddr (sys/socket.h): the family in the host's order; those of IP in sockaddr.ts. */
export const SOCKADDR_FAMILY = 0;

/** struct sockaddr_un (sys/un.h): the same family, then a path that need not end in a zero. */
export const SOCKADDR_UN_PATH = 2;
export const SOCKADDR_UN_SIZE = 110;

/** struct pollfd (poll.h). */
export const POLLFD_FD = 0;
export const POLLFD_EVENTS = 4;
export const POLLFD_REVENTS = 6;
export const POLLFD_SIZE = 8;

/** struct ifreq (linux/if.h). */
export const IFREQ_NAME = 0;
export const IFREQ_FLAGS = 16;
export const IFREQ_SIZE = 40;
export const IFNAMSIZ = 16;

/** struct __sk_buff (linux/bpf.h), as a program of the kernel's sees a buffer. */
export const SK_BUFF_LENGTH = 0;
export const SK_BUFF_GSO_SIZE = 176;

/** struct timespec (time.h), 64-bit. */
export const TIMESPEC_SECONDS = 0;
export const TIMESPEC_NANOSECONDS = 8;
export const TIMESPEC_SIZE = 16;

/** struct sched_param (sched.h): the priority, 0 outside the real-time policies. */
export const SCHED_PARAM_SIZE = 4;
