/**
 * The underlay address chosen last, in a file beside subnet.env: what was chosen stays chosen over
 * a restart, whatever address or default route came beside it, as long as the operator wishes the
 * same and the host has it.
 */
import { createHash } from 'node:crypto';
import type { Run } from '../../linux/command.ts';
import type { Logger } from '../../log.ts';
import { readFileSoon } from '../../untrusted/file.ts';
import { formatAddress4, parseAddress4 } from '../../wire/address.ts';
import { writeSubnetFile } from '../node/subnet-writer.ts';
import { chooseUplink, type Uplink, type UplinkWishes } from '../uplink.ts';

/** Ours is a tenth of it. */
const MOST_BYTES = 4_096;
/** Enough that two sets of options do not meet. */
const DIGEST_LETTERS = 16;

/** Differs wherever the operator asks for another underlay. */
function digestOf(wishes: UplinkWishes): string {
  const { interfaces, interfacePatterns, interfaceCanReach, publicAddress } = wishes;
  const patterns = interfacePatterns.map(({ source }) => source);
  const text = JSON.stringify([interfaces, patterns, interfaceCanReach, publicAddress]);
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_LETTERS);
}

/**
 * The address chosen under the same wishes, a host-order uint32; undefined where none is
 * remembered. A file that cannot be read, or makes no sense, is none.
 */
export async function readRemembered(
  path: string,
  wishes: UplinkWishes,
): Promise<number | undefined> {
  const bytes = await readFileSoon(path, MOST_BYTES).catch(() => undefined);
  const text = bytes?.toString() ?? '';
  const [, address, digest] = /^ADDRESS=([0-9.]+)\nOPTIONS=([0-9a-f]+)$/m.exec(text) ?? [];
  return digest === digestOf(wishes) ? parseAddress4(address!) : undefined;
}

/** @throws what the file system says */
async function write(path: string, wishes: UplinkWishes, address: number): Promise<void> {
  const lines = [
    '# The underlay address that weft chose, kept while --iface and its kin stay the same.',
    '# Remove this file, and weft chooses again when it next starts.',
    `ADDRESS=${formatAddress4(address)}`,
    `OPTIONS=${digestOf(wishes)}`,
    '',
  ];
  await writeSubnetFile(path, lines.join('\n'));
}

/** Chooses the underlay, and keeps what was chosen over a restart. */
export class UplinkChoice {
  private readonly path: string | undefined;
  private readonly wishes: UplinkWishes;
  private readonly log: Pick<Logger, 'warn'>;

  /** @param path of the file; undefined where there is no folder of this node's own */
  constructor(path: string | undefined, wishes: UplinkWishes, log: Pick<Logger, 'warn'>) {
    this.path = path;
    this.wishes = wishes;
    this.log = log;
  }

  /** @throws Fault that names everything that was tried */
  async choose(run: Run): Promise<Uplink> {
    const { path, wishes } = this;
    const before = path === undefined ? undefined : await readRemembered(path, wishes);
    const uplink = await chooseUplink(run, wishes, before);
    await this.note(uplink);
    return uplink;
  }

  /** What is in force is what the next start goes on with. */
  async note({ address }: Uplink): Promise<void> {
    const { path, wishes, log } = this;
    if (path === undefined) return;
    try {
      await write(path, wishes, address);
    } catch (error) {
      const { message } = error as Error;
      log.warn(`the underlay chosen is not remembered over a restart: ${path}: ${message}`);
    }
  }
}
