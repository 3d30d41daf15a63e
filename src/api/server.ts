import { chmodSync, lstatSync, mkdirSync, renameSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { Trouble } from '../http/boundary.ts';
import { LIMITS } from '../http/connections.ts';
import { closeNow, createBoundedServer } from '../http/server.ts';
import { whoHasSocket } from '../linux/holder/holder.ts';
import type { Api } from './router.ts';

/** Where the CLI looks unless told otherwise. */
export const DEFAULT_SOCKET = '/run/weft/weft.sock';

/** The socket cannot be had; the message says which, why, and what to do. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
}

export interface ApiServer {
  /** Ends connections and removes the socket. */
  close(): void;
}

/** Root and the group of the socket; the same people who may read the host's routes and rules. */
const SOCKET_MODE = 0o660;
const DIRECTORY_MODE = 0o755;
/** sun_path of unix(7) without its closing zero byte, and without our process number. */
const LONGEST_PATH_BYTES = 96;

/**
 * Serves the API on a unix socket, mode 0660. The socket of a process that died is replaced; one
 * that somebody answers on, and anything that is no socket, is left alone.
 * @throws SocketError
 */
export async function serveSocket(
  path: string,
  api: Pick<Api, 'handle'>,
  trouble?: Trouble,
): Promise<ApiServer> {
  await clearPath(path);
  const server = createBoundedServer({
    answer: (request, response) => {
      const taken = api.handle(request, response);
      if (taken !== false) return taken;
      response.writeHead(404, { 'Content-Type': 'application/json' });
      return response.end('{"error":"nothing is here","cure":"try /v1/status"}\n');
    },
    trouble,
    // Root and the group are one source here: who is slow makes way, whoever it is.
    limits: { ...LIMITS, perSource: LIMITS.connections },
  });
  // Under another name first: its mode is set before anybody can connect, an older socket is
  // replaced at once, and Node, which removes the name that it was given, removes nobody else's.
  const first = `${path}.${process.pid}`;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path: first }, resolve);
    });
    chmodSync(first, SOCKET_MODE);
    renameSync(first, path);
  } catch (error) {
    server.close();
    throw refusal(path, (error as Error).message, 'choose another with --api-socket');
  }
  const inode = lstatSync(path).ino;
  return {
    close: () => {
      if (inodeOf(path) === inode) unlinkSync(path);
      closeNow(server);
    },
  };
}

function refusal(path: string, reason: string, cure: string): SocketError {
  return new SocketError(`--api-socket ${path}: ${reason}: ${cure}`);
}

async function clearPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH_BYTES) {
    throw refusal(path, `longer than ${LONGEST_PATH_BYTES} bytes`, 'choose a shorter one');
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  } catch (error) {
    throw refusal(path, (error as Error).message, 'choose another directory');
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw refusal(path, 'is there and is no socket', 'remove it');
  if (await somebodyListens(path)) {
    const { who, cure } = await whoHasSocket(path);
    throw refusal(path, `${who} answers there`, `${cure}, or choose another path`);
  }
}

/** Only a refused connection proves that nobody is there; a full backlog means somebody is. */
function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const say = (listens: boolean) => {
      socket.destroy();
      resolve(listens);
    };
    socket.once('connect', () => say(true));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      say(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}
