import type { Run } from '../../linux/command.ts';
import type { Logger } from '../../log.ts';
import { Fault } from '../fault.ts';
import { Lookout } from '../node/lookout.ts';
import type { Readiness } from '../readiness.ts';
import { warnOf } from './attachments.ts';
import { type OwnLink, restoreDevice, type TunnelDevice } from './device.ts';

export interface UpkeepOptions {
  readonly run: Run;
  readonly device: TunnelDevice;
  readonly own: OwnLink;
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
  stop(): Promise<void>;
}

export function startUpkeep(options: UpkeepOptions): Upkeep {
  return new DeviceKeeper(options);
}

class DeviceKeeper implements Upkeep {
  deviceUp = true;
  private readonly options: UpkeepOptions;
  private readonly lookout: Lookout;
  private told = '';

  constructor(options: UpkeepOptions) {
    this.options = options;
    const { log } = options;
    this.lookout = new Lookout({ look: () => this.look(), monitor: { log } });
  }

  stop(): Promise<void> {
    return this.lookout.stop();
  }

  private async look(): Promise<void> {
    try {
      await this.lookAtDevice();
      await this.options.settled();
      this.options.readiness.clear('upkeep');
    } catch (error) {
      if (error instanceof Fault && error.kind === 'dataplane') this.options.fail(error);
      else this.complain('upkeep', (error as Error).message);
    }
  }

  private complain(cause: string, sentence: string): void {
    if (this.lookout.stopped) return;
    if (this.options.readiness.set(cause, sentence)) this.options.log.warn(sentence);
  }

  private async lookAtDevice(): Promise<void> {
    const { run, device, own, readiness, log } = this.options;
    const found = await restoreDevice(run, device, own);
    if (this.lookout.stopped) return;
    this.deviceUp = found.state === 'up';
    if (found.state === 'gone') {
      this.options.gone();
    } else if (found.state === 'down') {
      this.complain('device', `${device.name} is down: ip link set ${device.name} up`);
    } else {
      if (found.trouble !== '') this.complain('device', found.trouble);
      else if (readiness.clear('device')) log.info(`${device.name} is in order again`);
      if (found.repairs.length > 0)
        log.warn(`${device.name}: restored ${found.repairs.join(', ')}`);
      this.tellAttached(found.attached.length === 0 ? '' : warnOf(device.name, found.attached));
    }
  }

  /** Once, and again when it is something else. */
  private tellAttached(sentence: string): void {
    if (sentence !== '' && sentence !== this.told) this.options.log.warn(sentence);
    this.told = sentence;
  }
}
