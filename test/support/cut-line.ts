import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * What happens to bytes on the line:
 * - `pass`: they arrive.
 * - `delay`: they arrive later, in order.
 * - `cut`: connections are reset, and so are new ones.
 * - `blackhole`: nothing arrives and nothing is closed, as behind a firewall that drops; new
 *   connections open, for the kernel answers them, and stay silent.
 */
export type LineMode = 'pass' | 'delay' | 'cut' | 'blackhole';

/** A TCP line with a pair of scissors: a proxy between a client and a server under test. */
export interface CutLine {
  /** Where the client connects: "127.0.0.1:PORT". */
  readonly address: string;
  readonly port: number;
  /** From now on; `delayMs` only matters for `delay`. Connections held silent go on with `pass`. */
  set(mode: LineMode, delayMs?: number): void;
  /** Connections opened since the start. */
  opened(): number;
  /** Connections open now. */
  open(): number;
  close(): Promise<void>;
}

/** Opens a line on a free loopback port to a server on `targetPort`. */
export async function openCutLine(targetPort: number, targetHost = '127.0.0.1'): Promise<CutLine> {
  const line = { mode: 'pass' as LineMode, delayMs: 0 };
  const pairs = new Set<readonly [Socket, Socket]>();
  let opened = 0;
  const server = createServer((client) => {
    opened += 1;
    if (line.mode === 'cut') return void client.resetAndDestroy();
    const upstream = connect(targetPort, targetHost);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    join(client, upstream, line);
    join(upstream, client, line);
    const gone = () => pairs.delete(pair);
    client.on('close', gone);
    upstream.on('close', gone);
    if (line.mode === 'blackhole') for (const socket of pair) socket.pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    port,
    opened: () => opened,
    open: () => pairs.size,
    set: (mode, delayMs = 0) => {
      Object.assign(line, { mode, delayMs });
      for (const pair of [...pairs]) for (const socket of pair) apply(socket, mode);
    },
    close: async () => {
      for (const pair of [...pairs]) for (const socket of pair) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function apply(socket: Socket, mode: LineMode): void {
  if (mode === 'cut') socket.resetAndDestroy();
  else if (mode === 'blackhole') socket.pause();
  else socket.resume();
}

/** Carries what `from` says to `to`; an end or an error of one closes the other. */
function join(from: Socket, to: Socket, line: { mode: LineMode; delayMs: number }): void {
  from.setNoDelay(true);
  from.on('data', (bytes) => {
    // Timers of equal length fire in the order they were set, so order is kept.
    if (line.mode === 'delay') setTimeout(() => to.writable && to.write(bytes), line.delayMs);
    else if (to.writable) to.write(bytes);
  });
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroy());
}
