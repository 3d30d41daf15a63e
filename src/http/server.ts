import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ErrorBoundary, type Handler, type Trouble } from './boundary.ts';
import { type ConnectionLimits, Connections, LIMITS } from './connections.ts';

export interface BoundedServerOptions {
  readonly answer: Handler;
  readonly trouble?: Trouble | undefined;
  readonly limits?: ConnectionLimits;
}

/** A request takes milliseconds. Who is slower than this is broken or means harm. */
const DEADLINE_MS = 5_000;
/** For the longest answer over a slow line; who reads slower is cut off. */
const ANSWER_MS = 30_000;
const MOST_HEADER_BYTES = 8_192;

/** What ends the deadline of an answer that goes on by design. */
const lifts = new WeakMap<ServerResponse, () => void>();

/**
 * A server that no client can hold up: connections (in all and of one source), header bytes, unread
 * bytes and time are bounded, and a handler that fails costs its own request alone.
 */
export function createBoundedServer({ answer, trouble, limits }: BoundedServerOptions): Server {
  const boundary = new ErrorBoundary(trouble ?? (() => {}));
  const connections = new Connections(limits ?? LIMITS);
  const server = createServer(
    {
      maxHeaderSize: MOST_HEADER_BYTES,
      headersTimeout: DEADLINE_MS,
      requestTimeout: DEADLINE_MS,
      keepAliveTimeout: DEADLINE_MS,
      connectionsCheckingInterval: 1_000,
      // Judged with the rest of it, in host.ts.
      requireHostHeader: false,
    },
    (request, response) => {
      if (!track(connections, request, response)) return;
      void boundary.answer(answer, request, response);
    },
  );
  server.on('connection', (socket) => connections.admit(socket));
  // Out of descriptors, for one: those who are connected are answered, and so is the next.
  server.on('error', (error) => {
    if (server.listening) boundary.tell('taking a connection', error);
  });
  // Covers what the deadlines above do not: a client that never reads its answer.
  server.setTimeout(2 * DEADLINE_MS, (socket) => socket.destroy());
  return server;
}

/** Follows one request to its end. @returns false where it is not to be answered any further */
function track(
  connections: Connections,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const { socket } = request;
  if (!connections.begin(socket)) {
    // Answers that nobody reads would pile up behind one another.
    response.writeHead(503, { 'Content-Type': 'text/plain', Connection: 'close' });
    response.end('one request at a time\n');
    return false;
  }
  // Nobody needs to send us a body, and nobody is waited for who does.
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (length !== '0' || coding !== undefined) response.shouldKeepAlive = false;
  const late = setTimeout(() => socket.destroy(), ANSWER_MS).unref();
  lifts.set(response, () => {
    clearTimeout(late);
    connections.stream(socket);
  });
  response.once('close', () => {
    clearTimeout(late);
    connections.finish(socket);
  });
  return true;
}

/** The answer goes on, bounded by who gives it: no deadline, and no other makes it end. */
export function letStream(response: ServerResponse): void {
  lifts.get(response)?.();
  response.socket?.setTimeout(0);
}

/** Ends a server, and every connection with it. */
export function closeNow(server: Server): void {
  server.close();
  server.closeAllConnections();
}
