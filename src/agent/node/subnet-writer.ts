import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readFileSoon } from '../../untrusted/file.ts';
import { LIMITS } from '../../untrusted/json.ts';
import { formatAddress4, formatPrefix4, type Prefix4 } from '../../wire/address.ts';

/** What `subnet.env` tells container runtimes. */
export interface SubnetFacts {
  readonly network: Prefix4;
  readonly subnet: Prefix4;
  readonly mtu: number;
  /** Exactly the --ip-masq option: a runtime masquerades itself where this is false. */
  readonly masquerade: boolean;
}

const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

/** The file byte for byte as flanneld writes it for an IPv4 lease. */
export function formatSubnetFile({ network, subnet, mtu, masquerade }: SubnetFacts): string {
  // The subnet's first host address, which a bridge takes for itself.
  const gateway = formatAddress4(subnet.network + 1);
  return [
    `FLANNEL_NETWORK=${formatPrefix4(network)}`,
    `FLANNEL_SUBNET=${gateway}/${subnet.length}`,
    `FLANNEL_MTU=${mtu}`,
    `FLANNEL_IPMASQ=${masquerade}`,
    '',
  ].join('\n');
}

/**
 * Puts the text in place of the file at once: readers see the old or the new one, whole, and after
 * a power cut too. 0644 whatever the umask; a missing folder is made. A file that says the same
 * already is left alone.
 * @returns whether anything was written
 * @throws what the file system says
 */
export async function writeSubnetFile(path: string, text: string): Promise<boolean> {
  const folder = dirname(path);
  const present = await readFileSoon(path, LIMITS.subnetFileBytes).catch(() => undefined);
  if (present?.toString() === text) return false;
  const made = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  if (made !== undefined) await setMode(folder, FOLDER_MODE);
  // Never a name that somebody could have put a link under, nor one that a second writer takes.
  const temporary = join(folder, `.${basename(path)}.${randomBytes(8).toString('hex')}`);
  try {
    await writeDurably(temporary, text);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(folder);
  return true;
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.chmod(FILE_MODE);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function setMode(path: string, mode: number): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.chmod(mode);
  } finally {
    await folder.close();
  }
}

/** A rename lasts only once the folder is on disk: fsync(2). */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
