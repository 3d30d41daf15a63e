import type { IncomingMessage, ServerResponse } from 'node:http';
import { ErrorBoundary, type Trouble } from '../../http/boundary.ts';
import { FilterError, parseFilter } from '../../watch/filter.ts';
import { type Listening, TooManyListeners, type Watch } from '../../watch/watch.ts';
import { Query, RequestError, respond } from '../request.ts';
import type { ApiView } from '../view.ts';
import { CAPTURE_WAITING_BYTES, Capture } from './capture.ts';
import { MONITOR_WAITING_BYTES, Monitor } from './monitor.ts';
import { Outflow } from './outflow.ts';
import { DEFAULTS, LIMITS, STREAMS, type StreamName } from './paths.ts';

/** The streams without a listener, for the unix socket alone. */
export interface Streams {
  /** Answers requests for a stream; false, and nothing done, for any other path. */
  handle(request: IncomingMessage, response: ServerResponse): false | Promise<void>;
  /** Ends every stream in order. */
  stop(): void;
}

/** One stream that goes on. */
interface Running {
  /** Says the last of it. */
  end(reason: 'time' | 'weft ended'): void;
  /** Lets go of the tap; nobody listens any more. */
  release(): void;
}

/** @param tell hears of every stream that begins or ends: whoever watches is seen */
export function createStreams(
  view: ApiView,
  watch: Watch,
  tell: (sentence: string) => void,
  trouble: Trouble = () => {},
): Streams {
  const boundary = new ErrorBoundary(trouble);
  const running = new Set<Running>();
  let stopped = false;

  function open(name: StreamName, search: string, response: ServerResponse): void {
    const { contentType } = STREAMS[name];
    const query = new Query(search, STREAMS[name]);
    const seconds = query.whole('seconds', LIMITS.seconds) ?? DEFAULTS.seconds;
    const start = name === 'monitor' ? monitorOf(query, view) : captureOf(query, view);
    if (stopped) throw new RequestError(503, 'weft is ending', 'start it again');
    if (response.req.method === 'HEAD') {
      response.writeHead(200, { 'Content-Type': contentType }).end();
      return;
    }
    const most = name === 'monitor' ? MONITOR_WAITING_BYTES : CAPTURE_WAITING_BYTES;
    const outflow = new Outflow(response, contentType, most);
    const failed = (error: Error) => {
      boundary.tell(`weft ${name}`, error);
      outflow.fail();
    };
    // Nobody would end the stream of a client that is gone already.
    if (response.destroyed) return;
    const stream = begin(watch, (own) => start(own, outflow, failed));
    running.add(stream);
    const what = `weft ${name} ${query.text('filter') ?? ''}`.trimEnd();
    tell(`somebody watches packets: ${what}`);
    const timer = setTimeout(() => end(stream, 'time', failed), seconds * 1000);
    // What a client that went away did not read is nobody's.
    response.on('error', () => {});
    response.once('close', () => {
      clearTimeout(timer);
      running.delete(stream);
      stream.release();
      tell(`ended: ${what}`);
    });
  }

  return {
    handle: (request, response) => {
      const [path = '', search = ''] = (request.url ?? '').split('?', 2);
      const found = Object.entries(STREAMS).find(([, stream]) => stream.path === path);
      if (found === undefined) return false;
      return respond(request, response, async () => {
        try {
          open(found[0] as StreamName, search, response);
        } catch (error) {
          throw explain(error);
        }
      });
    },
    stop: () => {
      stopped = true;
      for (const stream of running) {
        end(stream, 'weft ended', (error) => boundary.tell('the end of a stream', error));
      }
    },
  };
}

/** A stream that fails at its beginning lets go of the tap, for which there are few places. */
function begin(watch: Watch, start: (watch: Watch) => Running): Running {
  const taken: Listening[] = [];
  try {
    return start({
      listeners: watch.listeners,
      listen: (wish, listener) => {
        const listening = watch.listen(wish, listener);
        taken.push(listening);
        return listening;
      },
    });
  } catch (error) {
    for (const listening of taken) listening.stop();
    throw error;
  }
}

/** Says the last of it, if that can be said. */
function end(stream: Running, why: 'time' | 'weft ended', failed: (error: Error) => void): void {
  try {
    stream.end(why);
  } catch (error) {
    failed(error as Error);
  }
}

type Start = (watch: Watch, outflow: Outflow, failed: (error: Error) => void) => Running;

function monitorOf(query: Query, view: ApiView): Start {
  const order = {
    filter: parseFilter(query.text('filter') ?? ''),
    rate: query.whole('rate', LIMITS.rate) ?? DEFAULTS.rate,
    count: query.whole('count', LIMITS.count) ?? Number.POSITIVE_INFINITY,
  };
  requirePackets(view);
  return (watch, outflow, failed) => new Monitor(order, view, watch, { outflow, failed });
}

function captureOf(query: Query, view: ApiView): Start {
  const words = query.text('filter') ?? '';
  const order = {
    words,
    filter: parseFilter(words),
    snapLength: query.whole('snap', LIMITS.snap) ?? DEFAULTS.snap,
    count: query.whole('count', LIMITS.count) ?? Number.POSITIVE_INFINITY,
    bytes: query.whole('bytes', LIMITS.bytes) ?? DEFAULTS.bytes,
    version: view.version,
    device: requirePackets(view),
  };
  return (watch, outflow, failed) => new Capture(order, watch, { outflow, failed });
}

/** The device that packets pass. */
function requirePackets(view: ApiView): string {
  const device = view.device();
  if (device !== null && view.pumps().length > 0) return device.name;
  const cure = 'weft status says why; where the kernel carries them, use tcpdump on its device';
  throw new RequestError(409, 'this weft carries no packets now', cure);
}

function explain(error: unknown): unknown {
  if (error instanceof FilterError) {
    return new RequestError(400, error.message, 'for example filter=host 10.244.2.2 and tcp');
  }
  if (error instanceof TooManyListeners) {
    return new RequestError(503, error.message, 'end one of them');
  }
  return error;
}
