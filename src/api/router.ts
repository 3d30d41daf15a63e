import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Trouble } from '../http/boundary.ts';
import { Recorder } from './answer/history.ts';
import { answerPeers, readOrder } from './answer/peers.ts';
import { answerHealth, answerStatus } from './answer/status.ts';
import { answerTrace } from './answer/trace.ts';
import { Query, RequestError, respond, sendJson } from './request.ts';
import { type Answer, PEER_ORDERS, ROUTES, type RouteName } from './routes.ts';
import { STREAMS } from './stream/paths.ts';
import type { ApiView } from './view.ts';

/** The API without a listener: whoever has an HTTP server gives it the requests under /v1. */
export interface Api {
  /** Answers requests under /v1; false, and nothing done, for any other path. */
  handle(request: IncomingMessage, response: ServerResponse): false | Promise<void>;
  /** Ends the sampling. */
  stop(): void;
}

/** As many leases as a network can hold, twice. */
const MOST_ROWS = 131_072;

/** Serves the view read-only; sampling for rates begins at once. */
export function createApi(view: ApiView, trouble: Trouble = () => {}): Api {
  const recorder = new Recorder(view, trouble);
  recorder.start();
  return {
    handle: (request, response) => {
      const [path = '', search = ''] = (request.url ?? '').split('?', 2);
      if (path !== '/v1' && !path.startsWith('/v1/')) return false;
      return respond(request, response, async () => {
        sendJson(response, 200, await answer(view, recorder, path, search));
      });
    },
    stop: () => recorder.stop(),
  };
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
    if (Object.values(STREAMS).some((stream) => stream.path === path)) {
      const cure = 'ask on the unix socket of --api-socket: weft monitor, weft capture';
      throw new RequestError(
        403,
        `${path} shows what packets carry, and so not to everybody`,
        cure,
      );
    }
    const paths = Object.values(ROUTES).map((route) => route.path);
    throw new RequestError(404, `there is no ${path}`, `there are ${paths.join(', ')}`);
  }
  const [name, route] = found as [RouteName, (typeof ROUTES)[RouteName]];
  const query = new Query(search, route);
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
