/** Sockets of our network namespace by what they are bound to: proc(5), /proc/net. */
import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PROC_NET, readProc, readRows } from '../proc.ts';

export type SocketKind = 'udp' | 'tcp';

/** SO_ACCEPTCON of include/linux/net.h, in the flags of /proc/net/unix. */
const LISTENS = 0x10000;

/**
 * Inodes of sockets that stand in the way of one more at that address, IPv4 or IPv6. Those of the
 * kernel's own (vxlan) are among them, and no process has them.
 */
export function socketInodes(kind: SocketKind, address: string, port: number): number[] {
  return [kind, `${kind}6`].flatMap((table) =>
    readRows(`${PROC_NET}/${table}`).flatMap((fields) => {
      const [host = '', service = ''] = (fields[1] ?? '').split(':');
      const hits = Number.parseInt(service, 16) === port && clash(host, address);
      return hits ? [Number(fields[9])] : [];
    }),
  );
}

/** An address on both sides must be the same; nothing or all of them is the same as any. */
function clash(hexadecimal: string, address: string): boolean {
  if (/^0+$/.test(hexadecimal)) return true;
  const octets = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)?.slice(1);
  // IPv6, or a name: by the port alone.
  if (octets === undefined || octets.every((octet) => octet === '0')) return true;
  // Each word is printed as the host reads it, and weft's hosts are little-endian.
  const reversed = octets.reverse().map((octet) => Number(octet).toString(16).padStart(2, '0'));
  return hexadecimal.toLowerCase().endsWith(reversed.join(''));
}

/** Inodes of listeners on that path, or on `PATH.123`, which weft renames to it. */
export function unixInodes(path: string): number[] {
  const names = new Set([path, resolved(path)]);
  return readProc(`${PROC_NET}/unix`)
    .split('\n')
    .flatMap((line) => {
      const found = /^\S+ \S+ \S+ ([0-9A-F]+) \S+ \S+ +(\d+) (.*)$/.exec(line);
      if (found === null) return [];
      const [, flags = '', inode = '', name = ''] = found;
      const listens = (Number.parseInt(flags, 16) & LISTENS) !== 0;
      const hits = listens && (names.has(name) || names.has(name.replace(/\.\d+$/, '')));
      return hits ? [Number(inode)] : [];
    });
}

function resolved(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}
