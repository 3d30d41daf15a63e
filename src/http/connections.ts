import type { Socket } from 'node:net';

/** How much of a server its clients may have at once. */
export interface ConnectionLimits {
  readonly connections: number;
  readonly perSource: number;
  /** Of answers that clients have not read yet. */
  readonly unreadBytes: number;
}

/**
 * Prometheus, kubelet and a browser need three or four each; a network of monitors behind one
 * address still fits. A table of 65,000 peers is 26 MB: two slow readers of it, and no third.
 */
export const LIMITS: ConnectionLimits = {
  connections: 128,
  perSource: 16,
  unreadBytes: 64 * 1024 * 1024,
};

/**
 * `asking`: no whole request yet, or none again since the last answer; `answered`: its answer is
 * on the way; `streaming`: its answer goes on, with a bound of its own.
 */
type State = 'asking' | 'answered' | 'streaming';

interface Entry {
  readonly source: string;
  state: State;
}

/**
 * Who is connected. There is always room for one more: whoever is slow makes way, first where one
 * source has the most, and there who has been at it for longest. Streams never do.
 */
export class Connections {
  /** In the order of their last change of state, the oldest first. */
  private readonly entries = new Map<Socket, Entry>();
  private readonly limits: ConnectionLimits;

  constructor(limits: ConnectionLimits = LIMITS) {
    this.limits = limits;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Takes one in; ends others, or where all are streams this one, so that limits hold. */
  admit(socket: Socket): void {
    const source = sourceOf(socket.remoteAddress);
    const own = [...this.entries].filter(([, entry]) => entry.source === source);
    const full = this.entries.size >= this.limits.connections;
    const crowd = own.length >= this.limits.perSource ? own : full ? [...this.entries] : [];
    if (crowd.length > 0 && !this.endSlowest(crowd)) {
      socket.destroy();
      return;
    }
    this.entries.set(socket, { source, state: 'asking' });
    socket.once('close', () => this.entries.delete(socket));
  }

  /**
   * A whole request has come.
   * @returns false where its connection still waits for the answer to another
   */
  begin(socket: Socket): boolean {
    const idle = this.entries.get(socket)?.state === 'asking';
    if (idle) this.change(socket, 'answered');
    this.keepUnreadBounded(socket);
    return idle;
  }

  /** The answer to it will go on. */
  stream(socket: Socket): void {
    this.change(socket, 'streaming');
  }

  /** The answer is given. */
  finish(socket: Socket): void {
    this.change(socket, 'asking');
  }

  private change(socket: Socket, state: State): void {
    const entry = this.entries.get(socket);
    if (entry === undefined) return;
    entry.state = state;
    this.entries.delete(socket);
    this.entries.set(socket, entry);
  }

  private endSlowest(crowd: readonly (readonly [Socket, Entry])[]): boolean {
    const asking = crowd.filter(([, { state }]) => state === 'asking');
    const answered = crowd.filter(([, { state }]) => state === 'answered');
    const victim = oldestOfMost(asking) ?? oldestOfMost(answered);
    if (victim !== undefined) this.end(victim);
    return victim !== undefined;
  }

  private keepUnreadBounded(except: Socket): void {
    const unread = () => {
      return [...this.entries].filter(([socket, { state }]) => {
        return socket !== except && state !== 'streaming' && socket.writableLength > 0;
      });
    };
    for (let slow = unread(); slow.length > 0; slow = unread()) {
      const bytes = slow.reduce((sum, [socket]) => sum + socket.writableLength, 0);
      const victim = oldestOfMost(slow);
      if (bytes <= this.limits.unreadBytes || victim === undefined) return;
      this.end(victim);
    }
  }

  private end(socket: Socket): void {
    this.entries.delete(socket);
    socket.destroy();
  }
}

/** Of the source that has the most among them, the oldest. */
function oldestOfMost(crowd: readonly (readonly [Socket, Entry])[]): Socket | undefined {
  const counts = new Map<string, number>();
  for (const [, { source }] of crowd) counts.set(source, (counts.get(source) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return crowd.find(([, { source }]) => counts.get(source) === most)?.[0];
}

/** Who is one client: an IPv4 address, or a /64, of which one host has every address. */
export function sourceOf(address: string | undefined): string {
  if (address === undefined) return 'unix';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const [head = '', tail = ''] = address.split('%')[0]!.split('::');
  const [left, right] = [head, tail].map((part) => part.split(':').filter((word) => word !== ''));
  const zeros = Array.from({ length: Math.max(0, 8 - left!.length - right!.length) }, () => '0');
  const words = address.includes('::') ? [...left!, ...zeros, ...right!] : left!;
  return `${words.slice(0, 4).join(':')}::/64`;
}
