import type { Run } from '../../linux/command.ts';
import { type Monitor, startMonitor } from '../../linux/monitor.ts';
import type { Logger } from '../../log.ts';
import { Fault } from '../fault.ts';
import type { Readiness } from '../readiness.ts';
import { restoreDevice, type TunnelDevice } from './device.ts';

/** Should the monitor miss something, it is found at the next look. */
const LOOK_EVERY_MS = 30_000;

export interface UpkeepOptions {
  readonly run: Run;
  readonly device: TunnelDevice;
  /** Index of our link: a new one of the same name is not ours. */
  readonly index: number;
  readonly readiness: Readiness;
  readonly log: Logger;
  /** Throws a Fault once the node's settings are no longer what was started with. */
  readonly settled: () => Promise<void>;
  /** Told of what weft cannot go on with: the settings are others. */
  readonly fail: (fault: Fault) => void;
  /** The device is not there any more; told at every look. */
  readonly gone: () => void;
}

/** Keeps device, address and route as they should be. */
export interface Upkeep {
  readonly deviceUp: boolean;
  /** Looks now; for a caller that has reason to. */
  look(): Promise<void>;
  stop(): Promise<void>;
}

export function startUpkeep(options: UpkeepOptions): Upkeep {
  const upkeep = new Looker(options);
  upkeep.start();
  return upkeep;
}

class Looker implements Upkeep {
  deviceUp = true;
  private readonly options: UpkeepOptions;
  private monitor: Monitor | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private again = false;
  private stopped = false;

  constructor(options: UpkeepOptions) {
    this.options = options;
  }

  start(): void {
    const { log } = this.options;
    this.monitor = startMonitor({
      changed: () => void this.look(),
      lost: (reason) => log.warn(`'ip monitor' ${reason}; starting it again`),
    });
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await Promise.all([this.monitor?.stop(), this.looking]);
  }

  /** One look at a time; a wake-up during one makes exactly one more. */
  look(): Promise<void> {
    if (this.looking !== undefined) {
      this.again = true;
      return this.looking;
    }
    this.looking = this.lookAtAll().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async lookAtAll(): Promise<void> {
    do {
      this.again = false;
      if (this.stopped) return;
      try {
        await this.lookAtDevice();
        await this.options.settled();
        this.options.readiness.clear('upkeep');
      } catch (error) {
        if (error instanceof Fault && error.kind === 'dataplane') this.options.fail(error);
        else this.complain('upkeep', (error as Error).message);
      }
    } while (this.again);
  }

  private complain(cause: string, sentence: string): void {
    if (this.stopped) return;
    if (this.options.readiness.set(cause, sentence)) this.options.log.warn(sentence);
  }

  private async lookAtDevice(): Promise<void> {
    const { run, device, index, readiness, log } = this.options;
    const found = await restoreDevice(run, device, index);
    if (this.stopped) return;
    this.deviceUp = found.state === 'up';
    if (found.state === 'gone') {
      this.options.gone();
    } else if (found.state === 'down') {
      this.complain('device', `${device.name} is down: ip link set ${device.name} up`);
    } else {
      if (readiness.clear('device')) log.info(`${device.name} is up again`);
      if (found.repairs.length > 0)
        log.warn(`${device.name}: restored ${found.repairs.join(', ')}`);
    }
  }
}
