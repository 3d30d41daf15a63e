import type { Logger } from 'pino';
import type { NetworkReading } from '../network.ts';
import { parseNetworkConfig } from '../network.ts';
import type { LeaseEntry, LeaseSink, LeaseSource, SourceStatus, StopWatching } from '../source.ts';
import { SourceStanding } from '../source.ts';
import { EtcdLine } from './client.ts';
import { EtcdError } from './errors.ts';
import { runCallback, useLines } from './lines.ts';
import type { EtcdEndpoint, EtcdOptions, EtcdSettings } from './options.ts';
import { checkEtcdOptions } from './options.ts';

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
  readonly whole = true;
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

/** The endless chase after the leases, for one sink. */
class Pursuit {
  readonly #settings: EtcdSettings;
  readonly #standing: SourceStanding;
  readonly #sink: LeaseSink;
  readonly #stopped = new AbortController();
  #hasList = false;

  constructor(settings: EtcdSettings, standing: SourceStanding, sink: LeaseSink) {
    this.#settings = settings;
    this.#standing = standing;
    this.#sink = sink;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async run(): Promise<void> {
    const failed = ({ kind, message }: EtcdError) => this.#standing.failed(kind, message);
    await useLines(this.#settings, this.#stopped.signal, (line) => this.#follow(line), failed);
  }

  /** One line from its opening to its failure. */
  async #follow(line: EtcdLine): Promise<never> {
    const { leaseFolder, mostLeases } = this.#settings;
    const { entries, revision, ...list } = await line.list(leaseFolder, mostLeases);
    let { keys } = list;
    this.#deliver(() => this.#take(entries, keys));
    this.#standing.delivered();
    const thinned = new AbortController();
    const tell = () => {
      if (keys <= mostLeases) return this.#standing.synced(keys);
      const { kind, message } = this.#crowding(line);
      this.#standing.failed(kind, message);
    };
    return await line.watch(leaseFolder, revision, {
      created: () => this.#deliver(tell),
      changes: (changes, growth) => {
        const isCrowded = keys > mostLeases;
        keys += growth;
        this.#deliver(() => this.#sink.changes(changes));
        if (keys > mostLeases !== isCrowded) this.#deliver(tell);
        // What was not read has room now.
        if (isCrowded && keys <= mostLeases) thinned.abort();
      },
      signal: thinned.signal,
    });
  }

  /** Of a list that is cut nobody can say what is gone: what was known before goes on. */
  #take(entries: readonly LeaseEntry[], keys: number): void {
    const isFirst = !this.#hasList;
    this.#hasList = true;
    if (isFirst || entries.length === keys) this.#sink.snapshot(entries);
    else this.#sink.changes(entries.map((entry) => ({ kind: 'put', entry })));
  }

  #crowding(line: EtcdLine): EtcdError {
    const { leaseFolder, mostLeases } = this.#settings;
    return line.error(
      'too_many',
      `has more than ${mostLeases} keys under ${leaseFolder}, of which so many are kept: delete ` +
        `those that are no leases (etcdctl get --prefix --keys-only ${leaseFolder})`,
    );
  }

  #deliver(work: () => void): void {
    if (!this.#stopped.signal.aborted) runCallback(work);
  }
}
