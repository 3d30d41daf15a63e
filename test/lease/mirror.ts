import { type Logger, pino } from 'pino';
import type { LeaseChange, LeaseEntry, LeaseSink, SourceState } from '../../src/lease/source.ts';

/** A sink that keeps what a source said, as a plain map and as a record of the deliveries. */
export class Mirror implements LeaseSink {
  readonly entries = new Map<string, string>();
  readonly states: SourceState[] = [];
  reason = '';
  snapshots = 0;
  batches = 0;

  snapshot(entries: readonly LeaseEntry[]): void {
    this.snapshots += 1;
    this.entries.clear();
    for (const { key, value } of entries) this.entries.set(key, value);
  }

  changes(changes: readonly LeaseChange[]): void {
    this.batches += 1;
    for (const change of changes) {
      if (change.kind === 'put') this.entries.set(change.entry.key, change.entry.value);
      else this.entries.delete(change.key);
    }
  }

  state(state: SourceState, reason: string): void {
    this.states.push(state);
    this.reason = reason;
  }

  /** Whether exactly these entries are known. */
  shows(entries: ReadonlyMap<string, string>): boolean {
    if (entries.size !== this.entries.size) return false;
    return [...entries].every(([key, value]) => this.entries.get(key) === value);
  }
}

/** A log whose lines can be looked at; its text must never hold a secret. */
export class LogBook {
  readonly lines: { level: number; msg: string; reason?: string }[] = [];
  text = '';
  readonly log: Logger = pino(
    { level: 'trace', base: null },
    {
      write: (line: string) => {
        this.text += line;
        this.lines.push(JSON.parse(line));
      },
    },
  );

  /** Lines that call for attention. */
  warnings(): string[] {
    return this.lines.filter(({ level }) => level >= 40).map(({ msg }) => msg);
  }
}
