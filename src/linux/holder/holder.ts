/** Who has what weft wants, as half a sentence with a cure that harms nobody. */
import type { Run } from '../command.ts';
import { listLinks } from '../link.ts';
import { type Findings, findHolders, type Holder } from './process.ts';
import { type SocketKind, socketInodes, unixInodes } from './sockets.ts';

const CLONE_DEVICE = '/dev/net/tun';
/** A listening socket that was inherited may be held by a whole family. */
const NAMED = 3;

/** `held by flanneld (pid 7): systemctl stop flanneld.service`, in two halves. */
export interface Taken {
  /** `flanneld (pid 7, flanneld.service)`; says so where it cannot be seen. */
  readonly who: string;
  /** What to do about whoever it is. */
  readonly cure: string;
  /** Whether it was found for certain. */
  readonly known: boolean;
}

/**
 * Who has a queue of that TUN or TAP open. The kernel tells the name of its device alone (`iff:` of
 * fdinfo), and another network namespace may have one of the same name: processes of ours count,
 * and others only where there is none.
 * @param ours whether we are one of them
 */
export async function whoHoldsTun(device: string, ours = false): Promise<Taken> {
  const found = await findHolders(
    (target, info) => target === CLONE_DEVICE && /^iff:\t(.*)$/m.exec(info())?.[1] === device,
  );
  const others = ours ? found.holders.filter(({ isOurselves }) => !isOurselves) : found.holders;
  const near = others.filter(({ here }) => here !== false);
  const holders = near.length > 0 ? near : others;
  const taken = sentence({ ...found, holders }, `grep -l 'iff:.${device}$' /proc/[0-9]*/fdinfo/*`);
  // One elsewhere is a guess: it had to be opened here, and its process to go there.
  return { ...taken, known: near.length > 0 };
}

/**
 * Who has that address and port; `0.0.0.0` and `::` are taken by whoever has any address.
 * @param run to look for a device whose port the kernel itself has
 */
export async function whoHasPort(
  kind: SocketKind,
  address: string,
  port: number,
  run?: Run,
): Promise<Taken> {
  const found = await ofSockets(socketInodes(kind, address, port));
  if (found.holders.length === 0 && run !== undefined) {
    const links = await listLinks(run).catch(() => []);
    const device = links.find(({ vxlan }) => vxlan?.port === port)?.name;
    const cure = "see 'ip -details link'";
    if (device !== undefined) return { who: `the vxlan device ${device}`, cure, known: true };
  }
  return sentence(found, `ss -H${kind === 'udp' ? 'u' : 't'}lnp 'sport = ${port}'`);
}

/** Who listens on that unix socket, or was started with it and renamed it since. */
export async function whoHasSocket(path: string): Promise<Taken> {
  return sentence(await ofSockets(unixInodes(path)), 'ss -Hxlp');
}

function ofSockets(inodes: readonly number[]): Promise<Findings> {
  const wanted = new Set(inodes.filter((inode) => inode > 0).map((inode) => `socket:[${inode}]`));
  return findHolders((target) => wanted.has(target));
}

function sentence({ holders, unseen }: Findings, look: string): Taken {
  const [first] = holders;
  if (first === undefined) {
    const why = unseen > 0 ? `: ${unseen} processes are hidden from this user` : '';
    return {
      who: `a process that cannot be seen from here${why}`,
      cure: `as root, see ${look}`,
      known: false,
    };
  }
  const more = holders.length > NAMED ? ` and ${holders.length - NAMED} more` : '';
  const who = `${holders.slice(0, NAMED).map(describe).join(' and ')}${more}`;
  return { who, cure: cureFor(first), known: true };
}

function describe({ pid, program, unit, here, isOurselves }: Holder): string {
  const more = [
    isOurselves ? 'this very process' : `pid ${pid}`,
    ...(unit === undefined ? [] : [unit]),
    ...(here === false ? ['in another network namespace'] : []),
  ];
  return `${program} (${more.join(', ')})`;
}

function cureFor({ unit, program }: Holder): string {
  if (unit !== undefined) return `if this node is to go on without it, systemctl stop ${unit}`;
  return `if this node is to go on without ${program}, stop it in the way it was started`;
}
