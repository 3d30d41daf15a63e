/** errno(3): the numbers weft tells apart, their names, and the error that a cold call ends in. */
import { errno } from './binding.ts';

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOPROTOOPT = 92;
export const EBADFD = 77;
export const EMSGSIZE = 90;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;

const NAMES = new Map<number, string>([
  [EPERM, 'EPERM: not permitted'],
  [ENOENT, 'ENOENT: no such file'],
  [EINTR, 'EINTR: interrupted'],
  [EIO, 'EIO: input/output error'],
  [EBADF, 'EBADF: bad file descriptor'],
  [EAGAIN, 'EAGAIN: would block'],
  [ENOMEM, 'ENOMEM: out of memory'],
  [EACCES, 'EACCES: permission denied'],
  [EBUSY, 'EBUSY: device or resource busy'],
  [ENODEV, 'ENODEV: no such device'],
  [EINVAL, 'EINVAL: invalid argument'],
  [ENOPROTOOPT, 'ENOPROTOOPT: option unknown to this kernel'],
  [EBADFD, 'EBADFD: file descriptor in bad state'],
  [EMSGSIZE, 'EMSGSIZE: message too long'],
  [EADDRINUSE, 'EADDRINUSE: address in use'],
  [EADDRNOTAVAIL, 'EADDRNOTAVAIL: address not on this machine'],
  [ENETDOWN, 'ENETDOWN: network down'],
  [ENETUNREACH, 'ENETUNREACH: network unreachable'],
  [ENOBUFS, 'ENOBUFS: no buffer space'],
  [ECONNREFUSED, 'ECONNREFUSED: connection refused'],
  [EHOSTUNREACH, 'EHOSTUNREACH: host unreachable'],
]);

/** The name of an error number, with its meaning in words. */
export function errnoName(code: number): string {
  return NAMES.get(code) ?? `errno ${code}`;
}

/** A system call that failed outside the packet path. */
export class SyscallError extends Error {
  readonly call: string;
  readonly code: number;

  constructor(call: string, code: number, detail: string) {
    super(`${detail}: ${call} failed with ${errnoName(code)}`);
    this.name = 'SyscallError';
    this.call = call;
    this.code = code;
  }
}

/** Passes a result of 0 or more through; throws a SyscallError for -1. For cold calls only. */
export function check(result: number, call: string, detail: string): number {
  if (result < 0) throw new SyscallError(call, errno(), detail);
  return result;
}
