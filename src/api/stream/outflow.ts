import type { ServerResponse } from 'node:http';
import { letStream } from '../../http/server.ts';

/** Once all is said, a client has this long to take it. */
const LAST_WORDS_MS = 10_000;

/** The way to one client, and whom to tell that we cannot go on with it. */
export interface Way {
  readonly outflow: Outflow;
  readonly failed: (error: Error) => void;
}

/**
 * The way to one client, with room for so many bytes that it has not read yet. Whoever finds no
 * room counts what it could not say.
 */
export class Outflow {
  private readonly response: ServerResponse;
  private readonly contentType: string;
  private readonly mostWaiting: number;
  private finished = false;

  constructor(response: ServerResponse, contentType: string, mostWaiting: number) {
    this.response = response;
    this.contentType = contentType;
    this.mostWaiting = mostWaiting;
  }

  /** Sends the head; before it the request may still be refused. */
  begin(): void {
    // The server cuts off who is silent for seconds; here it is traffic that may be silent.
    letStream(this.response);
    this.response.writeHead(200, {
      'Content-Type': this.contentType,
      'Cache-Control': 'no-store',
      Connection: 'close',
    });
    this.response.flushHeaders();
  }

  /** False, and nothing written, where the client has not read enough of what came before. */
  write(piece: string | Uint8Array): boolean {
    if (this.finished || this.response.writableLength > this.mostWaiting) return false;
    this.response.write(piece);
    return true;
  }

  /** Cuts the client off: we cannot go on. */
  fail(): void {
    this.finished = true;
    this.response.destroy();
  }

  /** Says the last of it, whether there is room or not. */
  end(piece: string | Uint8Array): void {
    if (this.finished) return;
    this.finished = true;
    this.response.socket?.setTimeout(LAST_WORDS_MS);
    this.response.end(piece);
  }
}
