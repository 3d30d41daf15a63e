import type { Logger } from 'pino';
import type { Lease } from '../lease.ts';
import type { LeaseEvents, LeaseKeeper, LeaseRegistry, LeaseWish } from '../registry.ts';
import { useLines } from './lines.ts';
import { checkEtcdOptions, type EtcdSettings } from './options.ts';
import { EtcdKeeper } from './own/keeper.ts';
import { ownLeases } from './own/plan.ts';
import { TroubleLog } from './own/trouble.ts';
import type { EtcdSourceOptions } from './source.ts';

/**
 * The registry in etcd v3, under flannel's keys and with its values. Warnings on the options
 * themselves are left to the source that is made from the same ones.
 * @throws SourceOptionsError, with every fault, for options that cannot work
 */
export function createEtcdRegistry(options: EtcdSourceOptions): LeaseRegistry {
  return new EtcdRegistry(checkEtcdOptions(options), options.log);
}

class EtcdRegistry implements LeaseRegistry {
  readonly name: string;
  readonly #settings: EtcdSettings;
  readonly #log: Logger;

  constructor(settings: EtcdSettings, log: Logger) {
    this.name = settings.name;
    this.#settings = settings;
    this.#log = log;
  }

  async findOwn(publicAddress: number, signal: AbortSignal): Promise<Lease | undefined> {
    const troubles = new TroubleLog(this.name, this.#log);
    const answer = await useLines(
      this.#settings,
      signal,
      async (line) => {
        const { entries } = await line.list(this.#settings.leaseFolder);
        return { own: ownLeases(entries, publicAddress)[0] };
      },
      (error) => troubles.failed(error, "this node's own lease cannot be read; trying on quietly"),
    );
    if (answer === undefined) throw signal.reason;
    troubles.over("this node's own lease was read");
    return answer.own;
  }

  keep(wish: LeaseWish, events: LeaseEvents): LeaseKeeper {
    return new EtcdKeeper(this.#settings, wish, events, this.#log);
  }
}
