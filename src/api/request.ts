import type { IncomingMessage, ServerResponse } from 'node:http';
import { toShownJson } from '../untrusted/text.ts';
import { parseAddress4 } from '../wire/address.ts';
import type { Parameter } from './routes.ts';
import type { ErrorAnswer } from './schema.ts';

/** What is wrong with a request, and how to ask. */
export class RequestError extends Error {
  readonly status: number;
  readonly cure: string;

  constructor(status: number, message: string, cure: string) {
    super(message);
    this.status = status;
    this.cure = cure;
  }
}

const MOST_URL_CHARACTERS = 2_048;

/**
 * Lets `work` answer a reading request; whatever it throws is told to the client. What is no
 * RequestError is thrown on, for the log.
 */
export async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  work: () => Promise<void>,
): Promise<void> {
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      throw new RequestError(405, `${request.method} is not allowed`, 'this API only reads: GET');
    }
    if ((request.url ?? '').length > MOST_URL_CHARACTERS) {
      throw new RequestError(414, 'the address is too long', 'shorten the filter');
    }
    await work();
  } catch (error) {
    if (error instanceof RequestError) {
      sendJson(response, error.status, fault(error.message, error.cure));
      return;
    }
    const { message = `${error}` } = error as Error;
    if (!response.headersSent) {
      sendJson(response, 500, fault(message, 'see the log of weft; please report it'));
    }
    throw error;
  }
}

const fault = (error: string, cure: string): ErrorAnswer => ({ error, cure });

/** One whole answer. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = `${toShownJson(body)}\n`;
  response
    .writeHead(status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(text),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    })
    .end(text);
}

interface Asked {
  readonly path: string;
  readonly parameters: readonly Parameter[];
}

/** Parameters of one request; a name that the path does not know is refused. */
export class Query {
  private readonly values: URLSearchParams;

  constructor(search: string, { path, parameters }: Asked) {
    this.values = new URLSearchParams(search);
    const known = parameters.map(({ name }) => name);
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

  /** A whole number within its limits, both included. */
  whole(
    name: string,
    limits: { readonly least: number; readonly most: number },
  ): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    const { least, most } = limits;
    if (/^\d{1,15}$/.test(text) && value >= least && value <= most) return value;
    const what = `${name} takes a whole number from ${least} to ${most}, not '${text}'`;
    throw new RequestError(400, what, `for example ${name}=${least}`);
  }
}
