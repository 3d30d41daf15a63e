import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { EtcdError, EtcdLine } from './etcd-client.ts';
import type { EtcdEndpoint, EtcdOptions, EtcdSettings } from './etcd-options.ts';
import { checkEtcdOptions } from './etcd-options.ts';
import type { NetworkReading } from './network.ts';
import { parseNetworkConfig } from './network.ts';
import type { LeaseSink, LeaseSource, SourceStatus, StopWatching } from './source.ts';
import { SourceStanding } from './source.ts';

export interface EtcdSourceOptions extends EtcdOptions {
  readonly log: Logger;
}

/**
 * Leases from etcd v3, under flannel's keys. Lists the folder at revision R, then watches from R+1;
 * whatever ends the watch, compaction included, leads back to the list, on the next endpoint.
 * @throws SourceOptionsError, with every fault, for options that cannot work
 */
export function createEtcdSource(options: EtcdSourceOptions): LeaseSource {
  const settings = checkEtcdOptions(options);
  for (const warning of settings.warnings) options.log.warn(warning);
  return new EtcdSource(settings, options.log);
}

class EtcdSource implements LeaseSource {
  readonly name: string;
  readonly #settings: EtcdSettings;
  readonly #standing: SourceStanding;

  constructor(settings: EtcdSettings, log: Logger) {
    this.name = settings.name;
    this.#settings = settings;
    this.#standing = new SourceStanding(this.name, log);
  }

  watch(sink: LeaseSink): StopWatching {
    this.#standing.tell(sink);
    const pursuit = new Pursuit(this.#settings, this.#standing, sink);
    const ended = pursuit.run();
    return async () => {
      this.#standing.tell(null);
      pursuit.stop();
      await ended;
    };
  }

  /** Asks one endpoint after the other; bounded by their number and the time a call may take. */
  async config(): Promise<NetworkReading> {
    const where = `${this.name}: ${this.#settings.configKey}`;
    const reasons: string[] = [];
    for (const endpoint of this.#settings.endpoints) {
      const answer = await this.#readConfig(endpoint);
      if (answer instanceof EtcdError) reasons.push(answer.message);
      else if (answer === null) return { kind: 'missing', where };
      else {
        const parsed = parseNetworkConfig(answer);
        if (parsed.ok) return { kind: 'config', config: parsed.config };
        return { kind: 'bad', where, faults: parsed.faults };
      }
    }
    return { kind: 'unreachable', reason: reasons.join('; ') };
  }

  status(): SourceStatus {
    return this.#standing.status();
  }

  async #readConfig(endpoint: EtcdEndpoint): Promise<string | null | EtcdError> {
    let line: EtcdLine | undefined;
    try {
      line = await EtcdLine.create(this.#settings, endpoint);
      await line.login();
      return await line.get(this.#settings.configKey);
    } catch (error) {
      if (error instanceof EtcdError) return error;
      throw error;
    } finally {
      line?.close();
    }
  }
}

/** The endless chase after the leases, for one sink: line after line, with pauses in between. */
class Pursuit {
  readonly #settings: EtcdSettings;
  readonly #standing: SourceStanding;
  readonly #sink: LeaseSink;
  readonly #stopped = new AbortController();
  #line: EtcdLine | undefined;
  /** Any one of the endpoints, so that a thousand nodes do not all begin with the same. */
  #next: number;
  #backoff: number;

  constructor(settings: EtcdSettings, standing: SourceStanding, sink: LeaseSink) {
    this.#settings = settings;
    this.#standing = standing;
    this.#sink = sink;
    this.#next = Math.floor(Math.random() * settings.endpoints.length);
    this.#backoff = settings.timing.backoffLeast;
  }

  stop(): void {
    this.#stopped.abort();
    this.#line?.close();
  }

  async run(): Promise<void> {
    const { signal } = this.#stopped;
    const { backoffLeast, backoffMost } = this.#settings.timing;
    while (!signal.aborted) {
      const began = performance.now();
      try {
        await this.#follow();
      } catch (error) {
        // Anything else is a mistake of ours, and must not be retried for ever in silence.
        if (!(error instanceof EtcdError)) throw error;
        if (!signal.aborted) this.#standing.failed(error.kind, error.message);
      }
      // A line that held for a while makes the next trouble a new one.
      if (performance.now() - began > 2 * backoffMost) this.#backoff = backoffLeast;
      // Up to half of the pause is left to chance, or all nodes would come back at once.
      await pause(this.#backoff * (0.5 + Math.random() / 2), null, { signal }).catch(() => null);
      this.#backoff = Math.min(2 * this.#backoff, backoffMost);
    }
  }

  /** One line from its opening to its failure. */
  async #follow(): Promise<never> {
    const { endpoints, leaseFolder } = this.#settings;
    const endpoint = endpoints[this.#next % endpoints.length] as EtcdEndpoint;
    this.#next += 1;
    const line = await EtcdLine.create(this.#settings, endpoint);
    this.#line = line;
    try {
      if (this.#stopped.signal.aborted) throw new EtcdError('ended', 'stopped');
      await line.login();
      const { entries, revision } = await line.list(leaseFolder);
      this.#deliver(() => this.#sink.snapshot(entries));
      this.#standing.delivered();
      return await line.watch(leaseFolder, revision, {
        created: () => this.#deliver(() => this.#standing.synced(entries.length)),
        changes: (changes) => this.#deliver(() => this.#sink.changes(changes)),
      });
    } finally {
      this.#line = undefined;
      line.close();
    }
  }

  #deliver(work: () => void): void {
    if (this.#stopped.signal.aborted) return;
    try {
      work();
    } catch (mistake) {
      // Out of gRPC's reach, which would take it for a broken line.
      setImmediate(() => {
        throw mistake;
      });
    }
  }
}
