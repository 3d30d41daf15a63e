import { readFileSync, writeFileSync } from 'node:fs';

/** Where sysctls of the calling thread's network namespace live: proc(5), /proc/sys/net. */
const ROOT = '/proc/sys';

/**
 * As sysctl(8) takes it: a dot in a device's name is a slash there,
 * `net.ipv4.conf.eth0/7.rp_filter`.
 * @param path below /proc/sys, `net/ipv4/conf/eth0.7/rp_filter`
 */
export function sysctlName(path: string): string {
  return path.replace(/[./]/g, (sign) => (sign === '.' ? '/' : '.'));
}

/** The value without its line end, or undefined where the kernel has no such sysctl. */
export function readSysctl(path: string, root = ROOT): string | undefined {
  try {
    return readFileSync(`${root}/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * Writes a sysctl that does not hold the value yet.
 * @returns why it could not be set, in errno's name; undefined where it now holds. A kernel without
 *   the sysctl (IPv6 compiled out) counts as held.
 */
export function writeSysctl(path: string, value: string, root = ROOT): string | undefined {
  const now = readSysctl(path, root);
  if (now === undefined || now === value) return undefined;
  try {
    writeFileSync(`${root}/${path}`, value);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
