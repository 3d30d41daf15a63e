import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Trouble } from '../http/boundary.ts';
import type { ConnectionLimits } from '../http/connections.ts';
import { judgeHost } from '../http/host.ts';
import { closeNow, createBoundedServer } from '../http/server.ts';
import { whoHasPort } from '../linux/holder/holder.ts';
import { escapeText } from '../untrusted/text.ts';

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
  /** Names that a request may ask for, see `judgeHost`; none where left out. */
  readonly allowedHosts?: readonly string[];
  /** Hears of handlers that failed. */
  readonly trouble?: Trouble;
  /** For tests. */
  readonly limits?: ConnectionLimits;
}

/** False for a path that is not its own; else it answers, perhaps not at once. */
export type Mounted = (
  request: IncomingMessage,
  response: ServerResponse,
) => boolean | Promise<void>;

export interface HttpServer {
  readonly port: number;
  close(): void;
}

/** The address cannot be listened on; the message says which, and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** Serves /metrics where there are any, /healthz and /readyz. @throws ListenError */
export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const answers = new Answers(options);
  const { trouble, limits } = options;
  const server = createBoundedServer({
    answer: (request, response) => answers.answer(request, response),
    trouble,
    ...(limits === undefined ? {} : { limits }),
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
      void explain(error, host, port).then((reason) => {
        reject(new ListenError(`${option} ${host}:${port}: ${reason}`));
      });
    });
    server.listen({ host, port }, resolve);
  });
}

async function explain(error: NodeJS.ErrnoException, host: string, port: number): Promise<string> {
  switch (error.code) {
    case 'EADDRINUSE': {
      const { who, cure } = await whoHasPort('tcp', host, port);
      return `the port is taken by ${who}: ${cure}, or choose another`;
    }
    case 'EADDRNOTAVAIL':
      return 'no interface has that address';
    case 'EACCES':
      return 'not allowed: ports below 1024 need CAP_NET_BIND_SERVICE';
    default:
      return error.message;
  }
}

class Answers {
  private readonly options: HttpOptions;
  private readonly paths: readonly string[];
  /** However many ask at once, the counters are read once for all of them. */
  private metricsText: Promise<string> | undefined;

  constructor(options: HttpOptions) {
    this.options = options;
    const metrics = options.metrics === undefined ? [] : ['/metrics'];
    this.paths = [...metrics, '/healthz', '/readyz'];
  }

  /** May throw and reject: the server's boundary answers then. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { mounted = [], allowedHosts = [], unhealthy, notReady } = this.options;
    const refusal = judgeHost(request, allowedHosts);
    if (refusal !== undefined) return reply(response, refusal.status, refusal.sentence);
    for (const take of mounted) {
      const taken = take(request, response);
      if (taken !== false) return taken === true ? undefined : await taken;
    }
    const path = (request.url ?? '').split('?')[0]!;
    if (!this.paths.includes(path)) {
      return reply(response, 404, `try ${this.paths.join(' or ')}`);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return reply(response, 405, 'only GET and HEAD');
    }
    if (path === '/healthz') return verdict(response, unhealthy());
    if (path === '/readyz') return verdict(response, notReady());
    await this.sendMetrics(response);
  }

  private async sendMetrics(response: ServerResponse): Promise<void> {
    const { text, contentType } = this.options.metrics!;
    this.metricsText ??= text().finally(() => {
      this.metricsText = undefined;
    });
    const exposition = await this.metricsText;
    response.writeHead(200, { 'Content-Type': contentType }).end(exposition);
  }
}

function verdict(response: ServerResponse, reasons: readonly string[]): void {
  if (reasons.length === 0) reply(response, 200, 'ok');
  else reply(response, 503, reasons.map((reason) => escapeText(reason)).join('\n'));
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
