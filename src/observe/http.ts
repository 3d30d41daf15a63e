import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HttpOptions {
  /** The option that names the address, for a message about it. */
  readonly option?: string;
  readonly host: string;
  readonly port: number;
  /** The text of /metrics and its content type; left out where only health is served. */
  readonly metrics?: { readonly text: () => Promise<string>; readonly contentType: string };
  /** What is wrong with the process itself; alive if empty. */
  readonly unhealthy: () => readonly string[];
  /** Why the node cannot forward; ready if empty. */
  readonly notReady: () => readonly string[];
  /** Each takes requests for paths of its own and says so; asked before all others. */
  readonly mounted?: readonly Mounted[];
}

export type Mounted = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface HttpServer {
  readonly port: number;
  close(): void;
}

/** The address cannot be listened on; the message says which, and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** A request takes milliseconds. Who is slower than this is broken or means harm. */
const DEADLINE_MS = 5_000;
const MOST_CONNECTIONS = 64;
const MOST_HEADER_BYTES = 8_192;

/** A server that no client can hold up: connections, header bytes and time are bounded. */
export function createBoundedServer(answer: RequestListener): Server {
  const server = createServer(
    {
      maxHeaderSize: MOST_HEADER_BYTES,
      headersTimeout: DEADLINE_MS,
      requestTimeout: DEADLINE_MS,
      keepAliveTimeout: DEADLINE_MS,
      connectionsCheckingInterval: 1_000,
    },
    answer,
  );
  server.maxConnections = MOST_CONNECTIONS;
  // Covers what the deadlines above do not: a client that never reads its answer.
  server.setTimeout(2 * DEADLINE_MS, (socket) => socket.destroy());
  return server;
}

/** Ends a server, and every connection with it. */
export function closeNow(server: Server): void {
  server.close();
  server.closeAllConnections();
}

/** Serves /metrics where there are any, /healthz and /readyz. @throws ListenError */
export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const server = createBoundedServer((request, response) => {
    void answer(options, request, response);
  });
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => closeNow(server),
  };
}

function listening(server: Server, options: HttpOptions): Promise<void> {
  const { option = '--metrics-listen', host, port } = options;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new ListenError(`${option} ${host}:${port}: ${explain(error)}`));
    });
    server.listen({ host, port }, resolve);
  });
}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'the port is taken: stop what has it, or choose another';
    case 'EADDRNOTAVAIL':
      return 'no interface has that address';
    case 'EACCES':
      return 'not allowed: ports below 1024 need CAP_NET_BIND_SERVICE';
    default:
      return error.message;
  }
}

async function answer(
  options: HttpOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (options.mounted?.some((take) => take(request, response)) === true) return;
  const path = (request.url ?? '').split('?')[0];
  const { metrics } = options;
  const paths = [...(metrics === undefined ? [] : ['/metrics']), '/healthz', '/readyz'];
  if (!paths.includes(path ?? '')) return reply(response, 404, `try ${paths.join(' or ')}`);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return reply(response, 405, 'only GET and HEAD');
  }
  if (path === '/healthz') return verdict(response, options.unhealthy());
  if (path === '/readyz') return verdict(response, options.notReady());
  if (metrics === undefined) return;
  try {
    const text = await metrics.text();
    response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text);
  } catch (error) {
    reply(response, 500, `metrics: ${(error as Error).message}`);
  }
}

function verdict(response: ServerResponse, reasons: readonly string[]): void {
  if (reasons.length === 0) reply(response, 200, 'ok');
  else reply(response, 503, reasons.join('\n'));
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
