import { get, type IncomingMessage } from 'node:http';
import { LIMITS, parseJson } from '../untrusted/json.ts';
import { type Answer, ROUTES, type RouteName } from './routes.ts';
import { ErrorAnswer } from './schema.ts';

/** No answer, or not the one hoped for; `message` names the fault and `cure` what to do. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly cure: string;
  /** `absent`: nobody serves the socket; `refused`: weft says no; `broken`: neither makes sense. */
  readonly kind: 'absent' | 'refused' | 'broken';

  constructor(kind: ApiError['kind'], message: string, cure: string) {
    super(message);
    this.kind = kind;
    this.cure = cure;
  }
}

const DEADLINE_MS = 10_000;
const { bytes: MOST_BYTES } = LIMITS.apiAnswer;

/**
 * Asks the weft that serves a unix socket.
 * @param parameters by the names of ROUTES; undefined ones are left out
 * @throws ApiError
 */
export async function ask<Name extends RouteName>(
  socketPath: string,
  name: Name,
  parameters: Readonly<Record<string, string | undefined>> = {},
): Promise<Answer<Name>> {
  const route = ROUTES[name];
  const path = withParameters(route.path, parameters);
  const { status, body } = await fetchOver(socketPath, path);
  const json = parse(body, socketPath);
  if (status !== 200) throw refusedBy(json, status, path);
  const checked = route.answer.safeParse(json);
  if (checked.success) return checked.data as Answer<Name>;
  const where = checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw otherShape(route.path, where.slice(0, 3).join('; '));
}

/** The path of a request; parameters that are undefined are left out. */
export function withParameters(
  path: string,
  parameters: Readonly<Record<string, string | undefined>>,
): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(given as [string, string][]).toString();
  return search === '' ? path : `${path}?${search}`;
}

/** @throws ApiError */
export function parse(body: string, socketPath: string): unknown {
  const parsed = parseJson(body, LIMITS.apiAnswer);
  if (parsed.ok) return parsed.value;
  const message = `${socketPath} answers no JSON that can be read: ${parsed.reason}`;
  throw new ApiError('broken', message, 'is it the socket of a weft?');
}

/** What weft said in place of an answer. */
export function refusedBy(json: unknown, status: number, path: string): ApiError {
  const fault = ErrorAnswer.safeParse(json);
  if (fault.success) return new ApiError('refused', fault.data.error, fault.data.cure);
  return new ApiError('broken', `${path} answers ${status}`, 'is it the socket of a weft?');
}

function fetchOver(socketPath: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath, path, timeout: DEADLINE_MS }, (response) => {
      readAll(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
    request.once('timeout', () => {
      request.destroy(noAnswerWithin(DEADLINE_MS, socketPath));
    });
    request.once('error', (error) => reject(explain(error, socketPath)));
  });
}

/** Somebody serves the socket, and says nothing. */
export function noAnswerWithin(milliseconds: number, socketPath: string): ApiError {
  const message = `${socketPath} gave no answer within ${milliseconds / 1000} s`;
  return new ApiError('broken', message, 'weft hangs: see its log and /healthz');
}

/** The two ends do not speak of the same shape. */
export function otherShape(path: string, where: string): ApiError {
  const cure = 'weft and this command are of different versions: update one of them';
  return new ApiError('broken', `${path} answers in another shape: ${where}`, cure);
}

/** A whole body of bounded size. @throws ApiError */
export async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MOST_BYTES) throw new ApiError('broken', 'the answer is too long', 'use --filter');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** A connection that failed, in words. */
export function explain(error: NodeJS.ErrnoException, socketPath: string): Error {
  if (error instanceof ApiError) return error;
  const start = 'is weft running? weft run, or weft dataplane; --api-socket names its socket';
  switch (error.code) {
    case 'ENOENT':
      return new ApiError('absent', `there is no ${socketPath}`, start);
    case 'ECONNREFUSED':
      return new ApiError('absent', `nobody answers on ${socketPath}`, start);
    case 'EACCES':
      return new ApiError('refused', `${socketPath} is not for you`, 'run this as root');
    default:
      return new ApiError('broken', `${socketPath}: ${error.message}`, start);
  }
}
