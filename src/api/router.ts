import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseAddress4 } from '../wire/address.ts';
import { Recorder } from './answer/history.ts';
import { answerPeers, readOrder } from './answer/peers.ts';
import { answerHealth, answerStatus } from './answer/status.ts';
import { answerTrace } from './answer/trace.ts';
import { type Answer, PEER_ORDERS, ROUTES, type RouteName } from './routes.ts';
import type { ErrorAnswer } from './schema.ts';
import type { ApiView } from './view.ts';

/** The API without a listener: whoever has an HTTP server gives it the requests under /v1. */
export interface Api {
  /** Answers requests under /v1; false, and nothing done, for any other path. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
  /** Ends the sampling. */
  stop(): void;
}

/** What is wrong with a request, and how to ask. */
class RequestError extends Error {
  readonly status: number;
  readonly cure: string;

  constructor(status: number, message: string, cure: string) {
    super(message);
    this.status = status;
    this.cure = cure;
  }
}

const MOST_URL_CHARACTERS = 2_048;
/** As many leases as a network can hold, twice. */
const MOST_ROWS = 131_072;

/** Serves the view read-only; sampling for rates begins at once. */
export function createApi(view: ApiView): Api {
  const recorder = new Recorder(view);
  recorder.start();
  return {
    handle: (request, response) => {
      const [path = '', search = ''] = (request.url ?? '').split('?', 2);
      if (path !== '/v1' && !path.startsWith('/v1/')) return false;
      void respond(request, response, () => answer(view, recorder, path, search));
      return true;
    },
    stop: () => recorder.stop(),
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      throw new RequestError(405, `${request.method} is not allowed`, 'this API only reads: GET');
    }
    if ((request.url ?? '').length > MOST_URL_CHARACTERS) {
      throw new RequestError(414, 'the address is too long', 'shorten the filter');
    }
    send(response, 200, await work());
  } catch (error) {
    if (error instanceof RequestError) {
      send(response, error.status, fault(error.message, error.cure));
    } else {
      send(response, 500, fault((error as Error).message, 'see the log of weft; please report it'));
    }
  }
}

const fault = (error: string, cure: string): ErrorAnswer => ({ error, cure });

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response
    .writeHead(status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(text),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    })
    .end(text);
}

type Answers = {
  readonly [Name in RouteName]: (query: Query) => Answer<Name> | Promise<Answer<Name>>;
};

async function answer(
  view: ApiView,
  recorder: Recorder,
  path: string,
  search: string,
): Promise<unknown> {
  const found = Object.entries(ROUTES).find(([, route]) => route.path === path);
  if (found === undefined) {
    const paths = Object.values(ROUTES).map((route) => route.path);
    throw new RequestError(404, `there is no ${path}`, `there are ${paths.join(', ')}`);
  }
  const [name, route] = found as [RouteName, (typeof ROUTES)[RouteName]];
  const query = new Query(
    search,
    path,
    [...route.parameters].map((parameter) => parameter.name),
  );
  const answers: Answers = {
    status: () => answerStatus(view, recorder),
    health: () => answerHealth(view),
    history: () => recorder.history(),
    config: () => ({ options: [...view.config()] }),
    peers: () => answerPeers(view, recorder, peerWishes(query)),
    trace: () => answerTrace(view, query.address('dst', true)!, query.address('from', false)),
  };
  return await answers[name](query);
}

function peerWishes(query: Query) {
  const sort = query.text('sort') ?? 'subnet';
  const order = readOrder(sort);
  if (order === undefined) {
    const cure = `sort is one of ${PEER_ORDERS.join(', ')}, or -NAME`;
    throw new RequestError(400, `there is no order '${sort}'`, cure);
  }
  const limit = query.text('limit') ?? `${MOST_ROWS}`;
  if (!/^\d{1,6}$/.test(limit)) {
    throw new RequestError(400, `limit is a whole number, not '${limit}'`, 'for example limit=100');
  }
  return { ...order, filter: query.text('filter') ?? '', limit: Number(limit) };
}

/** Parameters of one request; a name that the path does not know is refused. */
class Query {
  private readonly values: URLSearchParams;

  constructor(search: string, path: string, known: readonly string[]) {
    this.values = new URLSearchParams(search);
    for (const name of this.values.keys()) {
      if (known.includes(name)) continue;
      const cure = known.length === 0 ? `${path} takes none` : `it takes ${known.join(', ')}`;
      throw new RequestError(400, `${path} has no parameter '${name}'`, cure);
    }
  }

  text(name: string): string | undefined {
    return this.values.get(name) ?? undefined;
  }

  address(name: string, required: boolean): string | undefined {
    const text = this.text(name);
    if (text === undefined && !required) return undefined;
    if (text !== undefined && parseAddress4(text) !== undefined) return text;
    const what =
      text === undefined ? `${name} is missing` : `${name} is no IPv4 address: '${text}'`;
    throw new RequestError(400, what, `for example ${name}=10.244.2.2`);
  }
}
