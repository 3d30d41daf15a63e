import type { Logger } from '../../../log.ts';

/** Two programs that undo each other's work must not fill the log. */
const TELL_EVERY_MS = 10_000;
const NAMED = 3;

/** What others took away or changed and was set right again: counted, and told now and then. */
export class Repairs {
  total = 0;
  private readonly log: Logger;
  private untold: string[] = [];
  private more = 0;
  private lastTold = Number.NEGATIVE_INFINITY;

  constructor(log: Logger) {
    this.log = log;
  }

  add(what: readonly string[]): void {
    this.total += what.length;
    const named = what.slice(0, Math.max(0, NAMED - this.untold.length));
    this.untold.push(...named);
    this.more += what.length - named.length;
  }

  tell(): void {
    const now = performance.now();
    if (this.untold.length === 0 || now - this.lastTold < TELL_EVERY_MS) return;
    const more = this.more === 0 ? '' : ` and ${this.more} more`;
    this.log.warn(`restored what others changed: ${this.untold.join(', ')}${more}`);
    this.untold = [];
    this.more = 0;
    this.lastTold = now;
  }
}
