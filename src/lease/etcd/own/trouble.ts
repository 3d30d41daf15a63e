import type { Logger } from 'pino';
import type { EtcdError } from '../errors.ts';

/** One log line when a trouble begins, one for each new kind of it, and one when it ends. */
export class TroubleLog {
  readonly #name: string;
  readonly #log: Logger;
  readonly #told = new Set<string>();

  constructor(name: string, log: Logger) {
    this.#name = name;
    this.#log = log;
  }

  /** A try failed; `consequence` says what that means for the node. */
  failed({ kind, message }: EtcdError, consequence: string): void {
    if (this.#told.has(kind)) return;
    this.#told.add(kind);
    this.#log.warn({ registry: this.#name, reason: message }, consequence);
  }

  /** All is well; `relief` is only logged where there was trouble. */
  over(relief: string): void {
    if (this.#told.size > 0) this.#log.info({ registry: this.#name }, relief);
    this.#told.clear();
  }
}
