import type { IncomingMessage, ServerResponse } from 'node:http';
import { escapeText } from '../untrusted/text.ts';

/** Hears, in a sentence, what went wrong inside while somebody looked. */
export type Trouble = (sentence: string) => void;

/** Answers one request; may throw, and may reject. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** One fault that each of a thousand requests meets is told once in a while, with their number. */
const TELL_EVERY_MS = 10_000;
const MOST_TOLD_CHARACTERS = 300;

/**
 * Where a fault in a look at weft ends: the request gets a 500, the log a line, and packets are
 * carried on. To look must never hurt forwarding.
 */
export class ErrorBoundary {
  private readonly trouble: Trouble;
  private toldAtMs = Number.NEGATIVE_INFINITY;
  private untold = 0;

  constructor(trouble: Trouble) {
    this.trouble = trouble;
  }

  /** Lets the handler answer; never throws, whatever the handler does. */
  async answer(
    handler: Handler,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    // Of a client that went away in the middle; without a listener it would end the process.
    request.on('error', ignore);
    response.on('error', ignore);
    try {
      await handler(request, response);
    } catch (error) {
      this.tell(`${request.method} ${request.url}`, error);
      refuse(response, error);
    }
  }

  /** Says what failed, at most once in a while. */
  tell(what: string, error: unknown): void {
    const now = performance.now();
    if (now - this.toldAtMs < TELL_EVERY_MS) {
      this.untold += 1;
      return;
    }
    const before = this.untold === 0 ? '' : ` (and ${this.untold} more since the last such line)`;
    this.toldAtMs = now;
    this.untold = 0;
    const [asked, why] = [what, messageOf(error)].map((part) =>
      escapeText(part, MOST_TOLD_CHARACTERS),
    );
    this.trouble(`${asked} failed, which is a mistake of weft's own: ${why}${before}`);
  }
}

const ignore = (): void => {};

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function refuse(response: ServerResponse, error: unknown): void {
  // An answer that has begun cannot become another; one that was given whole stays.
  if (response.writableEnded) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.writeHead(500, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
  const path = escapeText(response.req.url ?? '', MOST_TOLD_CHARACTERS);
  response.end(`${path.split('?')[0]} failed: ${escapeText(messageOf(error))}\n`);
}

/** Works every so often; what it throws is told, and it is tried again the next time. */
export function guardedInterval(
  work: () => void,
  everyMs: number,
  failed: (error: Error) => void,
): NodeJS.Timeout {
  return setInterval(() => {
    try {
      work();
    } catch (error) {
      failed(error as Error);
    }
  }, everyMs);
}
