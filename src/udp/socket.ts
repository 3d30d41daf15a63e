/** Opens the sockets of the underlay. Source: ip(7), udp(7), socket(7). */
import { libc } from '../sys/binding.ts';
import * as constants from '../sys/constants.ts';
import { check, EADDRINUSE, EADDRNOTAVAIL, SyscallError } from '../sys/errno.ts';
import {
  SOCKADDR_ADDRESS,
  SOCKADDR_FAMILY,
  SOCKADDR_IN_SIZE,
  SOCKADDR_PORT,
} from '../sys/struct.ts';
import { formatAddress4 } from '../wire/address.ts';

/** Bytes of a struct sockaddr_in for an address and port in host order. */
export function writeSockaddr(bytes: Uint8Array, at: number, address: number, port: number): void {
  bytes[at + SOCKADDR_FAMILY] = constants.AF_INET;
  bytes[at + SOCKADDR_FAMILY + 1] = 0;
  bytes[at + SOCKADDR_PORT] = port >>> 8;
  bytes[at + SOCKADDR_PORT + 1] = port;
  for (let i = 0; i < 4; i++) bytes[at + SOCKADDR_ADDRESS + i] = address >>> (24 - 8 * i);
  bytes.fill(0, at + 8, at + SOCKADDR_IN_SIZE);
}

/**
 * A non-blocking UDP socket bound to `address` and `port` (0: any free port). Datagrams carry DF
 * (IP_PMTUDISC_DO): what the path cannot carry comes back as EMSGSIZE instead of as fragments.
 * With a port, SO_REUSEPORT lets every worker bind its own. Throws SyscallError naming the cure.
 * @param prepare is given the socket before anything can come to it
 */
export function openSocket(
  address: number,
  port: number,
  prepare: (fd: number) => void = () => undefined,
): number {
  const type = constants.SOCK_DGRAM | constants.SOCK_NONBLOCK | constants.SOCK_CLOEXEC;
  const fd = check(libc.socket(constants.AF_INET, type, 0), 'socket', 'cannot open a UDP socket');
  const name = new Uint8Array(SOCKADDR_IN_SIZE);
  writeSockaddr(name, 0, address, port);
  const where = `${formatAddress4(address)}:${port}`;
  try {
    if (port !== 0) setOption(fd, constants.SOL_SOCKET, constants.SO_REUSEPORT, 1);
    setOption(fd, constants.IPPROTO_IP, constants.IP_MTU_DISCOVER, constants.IP_PMTUDISC_DO);
    prepare(fd);
    check(libc.bind(fd, name, SOCKADDR_IN_SIZE), 'bind', `cannot bind UDP ${where}`);
  } catch (error) {
    libc.close(fd);
    throw explain(error, where);
  }
  return fd;
}

function explain(error: unknown, where: string): unknown {
  if (!(error instanceof SyscallError) || error.call !== 'bind') return error;
  const cures = new Map([
    [EADDRINUSE, `UDP ${where} is taken; stop the other process (flanneld?) or change --port`],
    [EADDRNOTAVAIL, `UDP ${where}: the address is on no interface here; see --iface`],
  ]);
  return new SyscallError('bind', error.code, cures.get(error.code) ?? error.message);
}

/** Sets an integer option; throws SyscallError. */
export function setOption(fd: number, level: number, name: number, value: number): void {
  check(trySetOption(fd, level, name, value), 'setsockopt', `socket option ${level}/${name}`);
}

/** Sets an integer option; -1 where the kernel will not. */
export function trySetOption(fd: number, level: number, name: number, value: number): number {
  return libc.setsockopt(fd, level, name, new Uint8Array(Int32Array.of(value).buffer), 4);
}

/** Reads an integer option; throws SyscallError. */
export function getOption(fd: number, level: number, name: number): number {
  const value = new Int32Array(1);
  check(tryGetOption(fd, level, name, value), 'getsockopt', `socket option ${level}/${name}`);
  return value[0];
}

/** Reads an integer option into `value`; -1 where the kernel will not. */
function tryGetOption(fd: number, level: number, name: number, value: Int32Array): number {
  const length = new Uint8Array(Int32Array.of(4).buffer);
  return libc.getsockopt(fd, level, name, new Uint8Array(value.buffer), length);
}

/**
 * Asks for a buffer, past the sysctl limit where CAP_NET_ADMIN allows (SO_*BUFFORCE), and returns
 * what the kernel granted, in bytes as it accounts them (twice the request, socket(7)).
 */
export function sizeBuffer(fd: number, direction: 'send' | 'receive', bytes: number): number {
  const { SOL_SOCKET, SO_SNDBUF, SO_SNDBUFFORCE, SO_RCVBUF, SO_RCVBUFFORCE } = constants;
  const plain = direction === 'send' ? SO_SNDBUF : SO_RCVBUF;
  const force = direction === 'send' ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
  if (trySetOption(fd, SOL_SOCKET, force, bytes) < 0) setOption(fd, SOL_SOCKET, plain, bytes);
  return getOption(fd, SOL_SOCKET, plain);
}

/**
 * The path MTU that the kernel knows from our address to a peer (IP_MTU of a connected socket,
 * ip(7)); 0 where it cannot be told, for want of a route or of a descriptor: it never throws, for
 * pumps ask while packets flow, if seldom. Opens and closes a socket.
 */
export function pathMtu(from: number, to: number, port: number): number {
  const type = constants.SOCK_DGRAM | constants.SOCK_CLOEXEC;
  const fd = libc.socket(constants.AF_INET, type, 0);
  if (fd < 0) return 0;
  const name = new Uint8Array(SOCKADDR_IN_SIZE);
  const mtu = new Int32Array(1);
  try {
    // The same source as the packets have, for routes may depend on it.
    writeSockaddr(name, 0, from, 0);
    if (libc.bind(fd, name, SOCKADDR_IN_SIZE) < 0) return 0;
    writeSockaddr(name, 0, to, port);
    if (libc.connect(fd, name, SOCKADDR_IN_SIZE) < 0) return 0;
    const got = tryGetOption(fd, constants.IPPROTO_IP, constants.IP_MTU, mtu);
    return got < 0 ? 0 : mtu[0];
  } finally {
    libc.close(fd);
  }
}
