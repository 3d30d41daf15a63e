import type { Etcd3, IOptions, IWatchRequest, IWatchResponse } from 'etcd3';
import { LIMITS, tooLong } from '../../untrusted/json.ts';
import { entryOf, keyText } from '../entry.ts';
import type { LeaseChange, LeaseEntry } from '../source.ts';
import { EtcdError, type EtcdTrouble, explain } from './errors.ts';
import type { EtcdEndpoint, EtcdSettings } from './options.ts';
import { readEtcdSecrets } from './options.ts';
import type { EtcdSecrets } from './secrets.ts';

/**
 * One line to one etcd member, the only door to the etcd3 package. Of etcd3 we take the generated
 * calls, TLS and the connection; its retries, circuit breaker, login cache and Watcher are left
 * aside, because the Watcher drops a watch at compaction and resumes by itself where we must list
 * again. A line is used until its first failure and then thrown away, login and all: there is one
 * way back from every trouble, and it is the way in.
 */

/** The keys of a folder at one revision of the store. */
export interface EtcdList {
  readonly entries: LeaseEntry[];
  readonly revision: string;
  /** How many there are; more than `entries` where more were not asked for. */
  readonly keys: number;
}

export interface EtcdWatch {
  /** The watch stands: nothing after the revision will be missed. */
  created(): void;
  /** The events of one answer, in order, and by how many keys there are more now. */
  changes(changes: readonly LeaseChange[], growth: number): void;
  /** Ends the watch, which then rejects like any other. */
  readonly signal?: AbortSignal;
}

/** One key as it lies in etcd. */
export interface EtcdKey {
  readonly value: string;
  /** The etcd lease that it goes with, as decimal text; "0" where it stays for ever. */
  readonly lease: string;
  /** Revision of its latest write. */
  readonly revision: number;
}

/** A key at one revision of the store; null where there is none. */
export interface EtcdReading {
  readonly found: EtcdKey | null;
  readonly revision: number;
}

export interface EtcdKeyWatch {
  /** The key was written, or deleted at `revision`; in order. */
  changed(found: EtcdKey | null, revision: number): void;
  /** Ends the watch, which then rejects like any other. */
  readonly signal: AbortSignal;
}

/** Keys a page of a list: few calls for many nodes, none big. 1,000 leases are some 150 kB, and
 *  4 MB where each value is as long as may be. */
const PAGE_KEYS = 1000;

/** Longest message taken, against a page of values of etcd's 1.5 MB limit at once. */
const MESSAGE_BYTES = 8 * 1024 * 1024;
const TOO_LONG = tooLong(MESSAGE_BYTES, LIMITS.leaseValue.bytes);

/** Hands a call straight to the line: etcd3 would retry it and hold it back on its own account. */
const NO_POLICY = {
  execute: async (call: (context: { signal: AbortSignal }) => unknown) =>
    call({ signal: new AbortController().signal }),
} as unknown as NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

/** The part of a gRPC call that is of use here. */
interface Call {
  cancel(): void;
  on(event: 'status', listener: (status: { code: number; details: string }) => void): unknown;
}

/** gRPC's UNAUTHENTICATED. */
const UNAUTHENTICATED = 16;

let linesOpened = 0;

export class EtcdLine {
  readonly #settings: EtcdSettings;
  readonly #endpoint: EtcdEndpoint;
  readonly #client: Etcd3;
  readonly #password: string | undefined;
  readonly #calls = new Set<Call>();
  #token: string | undefined;
  #refused = false;

  /** Makes a line; nothing is sent before the first call. @throws EtcdError */
  static async create(settings: EtcdSettings, endpoint: EtcdEndpoint): Promise<EtcdLine> {
    // Loaded on first use: reading etcd's protocol takes 0.1 s that other sources need not spend.
    const { Etcd3 } = (await import('etcd3')).default;
    return new EtcdLine(settings, endpoint, readSecrets(settings), Etcd3);
  }

  private constructor(
    settings: EtcdSettings,
    endpoint: EtcdEndpoint,
    secrets: EtcdSecrets,
    Client: typeof Etcd3,
  ) {
    this.#settings = settings;
    this.#endpoint = endpoint;
    this.#password = secrets.password;
    this.#client = new Client({
      hosts: endpoint.url,
      ...(secrets.credentials !== undefined && { credentials: secrets.credentials }),
      grpcOptions: this.#grpcOptions(),
      faultHandling: { host: () => NO_POLICY, global: NO_POLICY },
      defaultCallOptions: ({ isStream }) =>
        isStream ? {} : { deadline: Date.now() + settings.timing.call },
    });
  }

  /** Gets leave for the calls to come, where a user is given. @throws EtcdError */
  async login(): Promise<void> {
    const { username } = this.#settings.options;
    const password = this.#password;
    if (username === undefined || password === undefined) return;
    // A login that has run out must not go with the call that asks for another.
    this.#token = undefined;
    try {
      const login = { name: username, password };
      this.#token = (await this.ask(({ auth }) => auth.authenticate(login))).token;
    } catch (error) {
      // As etcd's own client does: a user given to a server without users does no harm.
      if (!(error as Error).message.includes('authentication is not enabled')) throw error;
    }
  }

  /** The value of one key, or null where there is none. @throws EtcdError */
  async get(key: string): Promise<string | null> {
    return (await this.read(key)).found?.value ?? null;
  }

  /** One key with all that etcd says of it. @throws EtcdError */
  async read(key: string): Promise<EtcdReading> {
    const { kvs, header } = await this.ask(({ kv }) => kv.range({ key: Buffer.from(key) }));
    return { found: keyOf(kvs[0]), revision: Number(header.revision) };
  }

  /**
   * The keys below `folder`, relative to it, as of one revision; at most `most` of them. Values
   * that are too long are left out, one by one if need be: no value hides another.
   * @throws EtcdError
   */
  async list(folder: string, most: number = LIMITS.leases): Promise<EtcdList> {
    const entries: LeaseEntry[] = [];
    let revision = '0';
    let key: Buffer = Buffer.from(folder);
    let limit = PAGE_KEYS;
    for (;;) {
      const left = Math.min(limit, most - entries.length);
      const request = { key, range_end: endOf(folder), limit: left, revision };
      try {
        const page = await this.ask(({ kv }) => kv.range(request));
        // Later pages are asked for at the first one's revision, or the list would be torn.
        if (revision === '0') revision = page.header.revision;
        for (const found of page.kvs) entries.push(readEntry(found, folder));
        const last = page.kvs.at(-1);
        if (!page.more || last === undefined) return { entries, revision, keys: entries.length };
        if (entries.length >= most) {
          // etcd counts all that lie between a page's first key and the end of the folder.
          const keys = entries.length - page.kvs.length + Number(page.count);
          return { entries, revision, keys };
        }
        key = Buffer.concat([last.key, Buffer.from([0])]);
        limit = Math.min(2 * limit, PAGE_KEYS);
      } catch (error) {
        if ((error as EtcdError).kind !== 'too_large') throw error;
        if (limit > 1) limit = Math.ceil(limit / 16);
        else {
          const { found, header } = await this.#passOver(request);
          if (revision === '0') revision = header.revision;
          entries.push({ ...readEntry(found, folder), fault: TOO_LONG });
          key = Buffer.concat([found.key, Buffer.from([0])]);
        }
      }
    }
  }

  /** A value longer than any message: its key alone is asked for. */
  async #passOver(request: { key: Buffer; range_end: Buffer; revision: string }) {
    const { kvs, header } = await this.ask(({ kv }) =>
      kv.range({ ...request, limit: 1, keys_only: true }),
    );
    const found = kvs[0];
    if (found === undefined) throw this.error('other', 'has no key where it had one');
    return { found, header };
  }

  /** Delivers what happens below `folder` after `revision`, until something fails. */
  watch(folder: string, revision: string, sink: EtcdWatch): Promise<never> {
    const range = { key: Buffer.from(folder), range_end: endOf(folder) };
    const hear = (response: IWatchResponse) => {
      if (response.created) sink.created();
      if (response.events.length === 0) return;
      sink.changes(changesOf(response, folder), growthOf(response));
    };
    return this.#watch(range, revision, hear, sink.signal);
  }

  /** Delivers what happens to exactly one key after `revision`, until something fails. */
  watchKey(key: string, revision: number, sink: EtcdKeyWatch): Promise<never> {
    const hear = ({ events }: IWatchResponse) => {
      for (const { type, kv } of events) {
        const found = isDelete(type) ? null : keyOf(kv);
        sink.changed(found, Number(kv.mod_revision));
      }
    };
    return this.#watch({ key: Buffer.from(key) }, String(revision), hear, sink.signal);
  }

  async #watch(
    range: { key: Buffer; range_end?: Buffer },
    revision: string,
    hear: (response: IWatchResponse) => void,
    signal?: AbortSignal,
  ): Promise<never> {
    const stream = await this.ask(({ watchClient }) => watchClient.watch());
    const { call } = this.#settings.timing;
    return new Promise((_, reject) => {
      const fail = (error: EtcdError) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        // Ended first: etcd3 takes the end of an open stream for the end of the whole connection.
        stream.end();
        stream.cancel();
        reject(error);
      };
      const end = () => fail(this.error('ended', 'is no longer watched'));
      const late = () => fail(this.error('silent', `answered no watch within ${call} ms`));
      const timer = setTimeout(late, call);
      stream.on('error', (error) => fail(this.explain(error)));
      stream.on('end', () => fail(this.error('ended', 'ended the watch')));
      stream.on('data', (response) => {
        if (response.canceled) return fail(this.#canceled(response));
        if (response.created) clearTimeout(timer);
        if (signal?.aborted !== true) hear(response);
      });
      signal?.addEventListener('abort', end, { once: true });
      if (signal?.aborted) end();
      else stream.write(watchRequest(range, revision));
    });
  }

  /** Makes one call; whatever fails becomes an EtcdError that names the endpoint. */
  async ask<T>(call: (client: Etcd3) => Promise<T>): Promise<T> {
    try {
      return await call(this.#client);
    } catch (error) {
      throw this.explain(error as Error);
    }
  }

  /** An error of etcd's or gRPC's in words for an operator. */
  explain(error: Error): EtcdError {
    const { kind, what } = explain(error.message);
    return this.error(kind, what);
  }

  /** What the endpoint did wrong; the sentence begins with its name. */
  error(kind: EtcdTrouble, what: string): EtcdError {
    return new EtcdError(kind, `${this.#endpoint.url} ${what}`);
  }

  /** Ends all calls and the connection; whoever waits for one of them gets an EtcdError. */
  close(): void {
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }

  #grpcOptions(): NonNullable<IOptions['grpcOptions']> {
    linesOpened += 1;
    const { timing } = this.#settings;
    return {
      'grpc.keepalive_time_ms': timing.keepalive,
      'grpc.keepalive_timeout_ms': timing.keepaliveTimeout,
      'grpc.max_receive_message_length': MESSAGE_BYTES,
      // etcd is part of the cluster; the way to it never leads through a proxy for the web.
      'grpc.enable_http_proxy': 0,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      // gRPC shares connections, and their back-off, between clients of equal options. A number of
      // its own gives each line a connection of its own, shared by the services of that line.
      'weft.line': linesOpened,
      callInvocationTransformer: (call: {
        metadata: { clone(): { set(name: string, value: string): void } };
        call: Call;
      }) => this.#begin(call),
    };
  }

  /** Adds to each call the login, and the wish to be told when the member has lost its cluster. */
  #begin<
    T extends { metadata: { clone(): { set(name: string, value: string): void } }; call: Call },
  >(given: T): T {
    // etcd3 repeats a call whose login ran out, at once and for ever; here the line ends instead.
    if (this.#refused) throw new Error('invalid auth token');
    const metadata = given.metadata.clone();
    metadata.set('hasleader', 'true');
    if (this.#token !== undefined) metadata.set('token', this.#token);
    this.#calls.add(given.call);
    given.call.on('status', ({ code, details }) => {
      this.#calls.delete(given.call);
      if (code === UNAUTHENTICATED && details.includes('invalid auth token')) this.#refused = true;
    });
    return { ...given, metadata };
  }

  #canceled({ compact_revision: compacted, cancel_reason: reason }: IWatchResponse): EtcdError {
    if (BigInt(compacted) > 0n) {
      return this.error('compacted', `has compacted the history up to revision ${compacted}`);
    }
    return this.explain(new Error(reason));
  }
}

function readSecrets(settings: EtcdSettings): EtcdSecrets {
  try {
    return readEtcdSecrets(settings);
  } catch (error) {
    throw new EtcdError('files', (error as Error).message);
  }
}

function watchRequest(range: { key: Buffer; range_end?: Buffer }, revision: string): IWatchRequest {
  const start = String(BigInt(revision) + 1n);
  const wishes = { progress_notify: true, fragment: true };
  return { create_request: { ...range, ...wishes, start_revision: start } };
}

interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: string;
  readonly mod_revision: string;
  /** Writes since the key was made; 1 is the one that made it. */
  readonly version: string;
}

function keyOf(found: KeyValue | undefined): EtcdKey | null {
  if (found === undefined) return null;
  const { value, lease, mod_revision: revision } = found;
  return { value: value.toString(), lease, revision: Number(revision) };
}

function readEntry({ key, value, mod_revision: revision }: KeyValue, folder: string): LeaseEntry {
  // Exact up to 2^53 revisions, which at a million a second is some 285 years.
  return entryOf(below(key, folder), value, Number(revision));
}

function below(key: Buffer, folder: string): Buffer {
  return key.subarray(Buffer.byteLength(folder));
}

function growthOf({ events }: IWatchResponse): number {
  let growth = 0;
  for (const { type, kv } of events) {
    if (isDelete(type)) growth -= 1;
    else if (kv.version === '1') growth += 1;
  }
  return growth;
}

function changesOf({ events }: IWatchResponse, folder: string): LeaseChange[] {
  return events.map(({ type, kv }) =>
    isDelete(type)
      ? { kind: 'delete', key: keyText(below(kv.key, folder)) }
      : { kind: 'put', entry: readEntry(kv, folder) },
  );
}

function isDelete(type: string): boolean {
  return type.toUpperCase() === 'DELETE';
}

/** The first key after all that begin with `folder`, which ends in "/": etcd's prefix range. */
function endOf(folder: string): Buffer {
  const end = Buffer.from(folder);
  end[end.length - 1] = '/'.charCodeAt(0) + 1;
  return end;
}
