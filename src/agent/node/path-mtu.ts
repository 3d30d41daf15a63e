import type { Run } from '../../linux/command.ts';
import { listPathMtus } from '../../linux/route.ts';
import type { Logger } from '../../log.ts';

const LOOK_EVERY_MS = 5_000;
/** A host with thousands of exceptions is looked at less often: at most this share of the time. */
const LARGEST_SHARE = 0.02;

export interface PathMtuWatchOptions {
  readonly run: Run;
  readonly log: Logger;
  readonly everyMs?: number;
}

/** Path MTUs as the kernel learns them, some seconds old; whoever asks waits for nothing. */
export interface PathMtuWatch {
  /**
   * Bytes of outer packets that pass to an address: what the kernel has learned, else the
   * underlay's MTU; undefined while neither is known.
   */
  of(address: string, underlayMtu: number | undefined): number | undefined;
  close(): void;
}

export function watchPathMtus(options: PathMtuWatchOptions): PathMtuWatch {
  const watch = new Watch(options);
  watch.start();
  return watch;
}

class Watch implements PathMtuWatch {
  private readonly options: PathMtuWatchOptions;
  private learned: ReadonlyMap<string, number> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private troubled = false;
  private closed = false;

  constructor(options: PathMtuWatchOptions) {
    this.options = options;
  }

  start(): void {
    void this.look();
  }

  of(address: string, underlayMtu: number | undefined): number | undefined {
    return this.learned && (this.learned.get(address) ?? underlayMtu);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private async look(): Promise<void> {
    const { run, everyMs = LOOK_EVERY_MS } = this.options;
    const began = performance.now();
    try {
      this.learned = await listPathMtus(run);
      this.troubled = false;
    } catch (error) {
      this.learned = undefined;
      this.complain(error as Error);
    }
    if (this.closed) return;
    const pause = Math.max(everyMs, (performance.now() - began) / LARGEST_SHARE);
    this.timer = setTimeout(() => void this.look(), pause).unref();
  }

  /** One line for each trouble, however long it lasts. */
  private complain({ message }: Error): void {
    if (!this.troubled && !this.closed) {
      this.options.log.warn(`path MTUs of peers are not known: ${message}`);
    }
    this.troubled = true;
  }
}
