/** Opens the sockets of the underlay. Source: ip(7), ipv6(7), udp(7), socket(7). */
import { libc } from '../sys/binding.ts';
import * as constants from '../sys/constants.ts';
import { check, EADDRINUSE, EADDRNOTAVAIL, SyscallError } from '../sys/errno.ts';
import { familyOf, SOCKADDR_SIZE, SOCKADDR_WORDS, writeSockaddr } from '../sys/sockaddr.ts';

/** Where each family keeps its options. */
interface FamilyOptions {
  readonly level: number;
  readonly mtuDiscover: number;
  readonly mtu: number;
}

function optionsOf(family: number): FamilyOptions {
  const { AF_INET6, IPPROTO_IP, IPPROTO_IPV6 } = constants;
  return family === AF_INET6
    ? {
        level: IPPROTO_IPV6,
        mtuDiscover: constants.IPV6_MTU_DISCOVER,
        mtu: constants.IPV6_MTU,
      }
    : { level: IPPROTO_IP, mtuDiscover: constants.IP_MTU_DISCOVER, mtu: constants.IP_MTU };
}

/** A socket address as the bytes that bind(2) and connect(2) take. */
class SocketAddress {
  readonly words = new Int32Array(SOCKADDR_WORDS);
  readonly bytes = new Uint8Array(this.words.buffer);

  /** @param address IPv4 or IPv6, as text */
  static of(address: string, port: number): SocketAddress {
    const made = new SocketAddress();
    writeSockaddr(made.words, 0, address, port);
    return made;
  }

  /** A copy of one that stands in other words. */
  static from(words: Int32Array, at: number): SocketAddress {
    const made = new SocketAddress();
    made.words.set(words.subarray(at, at + SOCKADDR_WORDS));
    return made;
  }

  get family(): number {
    return familyOf(this.words, 0);
  }
}

/**
 * A non-blocking UDP socket bound to `address`, IPv4 or IPv6, and `port` (0: any free port).
 * Datagrams carry DF (IP_PMTUDISC_DO, which IPv6 has under the same number): what the path cannot
 * carry comes back as EMSGSIZE instead of as fragments. With a port, SO_REUSEPORT lets every worker
 * bind its own. Throws SyscallError naming the cure.
 * @param prepare is given the socket before anything can come to it
 */
export function openSocket(
  address: string,
  port: number,
  prepare: (fd: number) => void = () => undefined,
): number {
  const type = constants.SOCK_DGRAM | constants.SOCK_NONBLOCK | constants.SOCK_CLOEXEC;
  const name = SocketAddress.of(address, port);
  const fd = check(libc.socket(name.family, type, 0), 'socket', 'cannot open a UDP socket');
  const where = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const { level, mtuDiscover } = optionsOf(name.family);
  try {
    if (port !== 0) setOption(fd, constants.SOL_SOCKET, constants.SO_REUSEPORT, 1);
    setOption(fd, level, mtuDiscover, constants.IP_PMTUDISC_DO);
    prepare(fd);
    check(libc.bind(fd, name.bytes, SOCKADDR_SIZE), 'bind', `cannot bind UDP ${where}`);
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
 * ip(7), or IPV6_MTU), whose socket address stands in `words` at `at`; 0 where it cannot be told,
 * for want of a route or of a descriptor: it never throws, for pumps ask while packets flow, if
 * seldom. Opens and closes a socket.
 */
export function pathMtu(from: string, words: Int32Array, at: number): number {
  const to = SocketAddress.from(words, at);
  const { level, mtu: option } = optionsOf(to.family);
  const type = constants.SOCK_DGRAM | constants.SOCK_CLOEXEC;
  const fd = libc.socket(to.family, type, 0);
  if (fd < 0) return 0;
  const mtu = new Int32Array(1);
  try {
    // The same source as the packets have, for routes may depend on it.
    if (libc.bind(fd, SocketAddress.of(from, 0).bytes, SOCKADDR_SIZE) < 0) return 0;
    if (libc.connect(fd, to.bytes, SOCKADDR_SIZE) < 0) return 0;
    const got = tryGetOption(fd, level, option, mtu);
    return got < 0 ? 0 : mtu[0];
  } finally {
    libc.close(fd);
  }
}
