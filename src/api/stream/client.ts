import { get, type IncomingMessage } from 'node:http';
import {
  ApiError,
  explain,
  noAnswerWithin,
  otherShape,
  parse,
  readAll,
  refusedBy,
  withParameters,
} from '../client.ts';
import { STREAMS, type StreamName } from './paths.ts';
import { type MonitorLine, MonitorLine as MonitorLineSchema } from './schema.ts';

/** The head of a stream comes at once; what follows may take any time. */
const HEAD_DEADLINE_MS = 10_000;
/** A line has some 500 bytes. */
const MOST_LINE_CHARACTERS = 65_536;

/**
 * Opens a stream of the weft that serves a unix socket; whoever is done with it destroys it.
 * @param parameters by the names of STREAMS; undefined ones are left out
 * @throws ApiError
 */
export async function openStream(
  socketPath: string,
  name: StreamName,
  parameters: Readonly<Record<string, string | undefined>>,
): Promise<IncomingMessage> {
  const path = withParameters(STREAMS[name].path, parameters);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    // A connection of its own: one that is kept may be to a weft that has ended.
    const request = get({ socketPath, path, agent: false }, resolve);
    const late = setTimeout(() => {
      request.destroy(noAnswerWithin(HEAD_DEADLINE_MS, socketPath));
    }, HEAD_DEADLINE_MS);
    request.once('response', () => clearTimeout(late));
    request.once('error', (error) => {
      clearTimeout(late);
      reject(explain(error, socketPath));
    });
  });
  if (response.statusCode === 200) return response;
  const body = await readAll(response);
  throw refusedBy(parse(body, socketPath), response.statusCode ?? 0, STREAMS[name].path);
}

/** The lines of a monitor stream; ends where the stream ends or is destroyed. @throws ApiError */
export async function* readLines(response: IncomingMessage): AsyncGenerator<MonitorLine> {
  let rest = '';
  try {
    for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + piece).split('\n');
      rest = lines.pop()!;
      if (rest.length > MOST_LINE_CHARACTERS) throw broken('a line that does not end');
      for (const line of lines) yield readLine(line);
    }
  } catch (error) {
    // Cut off by either end: what came before is whole.
    if (error instanceof ApiError || !isCut(error)) throw error;
  }
}

/** Whether a stream ended in the middle, as it does when either process goes. */
export function isCut(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR';
}

function readLine(line: string): MonitorLine {
  const checked = MonitorLineSchema.safeParse(parse(line, 'the monitor'));
  if (checked.success) return checked.data;
  throw broken(checked.error.issues.map(({ path }) => path.join('.')).join(', '));
}

const broken = (what: string): ApiError => otherShape(STREAMS.monitor.path, what);
