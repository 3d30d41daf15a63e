import type { Etcd3, IOptions, IWatchResponse } from 'etcd3';
import type { EtcdEndpoint, EtcdSecrets, EtcdSettings } from './etcd-options.ts';
import { readEtcdSecrets } from './etcd-options.ts';
import type { LeaseChange, LeaseEntry } from './source.ts';

/**
 * One line to one etcd member, the only user of the etcd3 package. Of etcd3 we take the generated
 * calls, TLS and the connection; its retries, circuit breaker, login cache and Watcher are left
 * aside, because the Watcher drops a watch at compaction and resumes by itself where we must list
 * again. A line is used until its first failure and then thrown away, login and all: there is one
 * way back from every trouble, and it is the way in.
 */

/** What went wrong, coarse enough to log once a kind. */
export type EtcdTrouble =
  | 'unreachable'
  | 'silent'
  | 'tls'
  | 'login'
  | 'permission'
  | 'no_leader'
  | 'compacted'
  | 'too_large'
  | 'files'
  | 'ended'
  | 'other';

/** An operation on etcd that failed; always worth a retry, for all of these can be mended there. */
export class EtcdError extends Error {
  readonly kind: EtcdTrouble;

  constructor(kind: EtcdTrouble, message: string) {
    super(message);
    this.name = 'EtcdError';
    this.kind = kind;
  }
}

/** Every key of a folder at one revision of the store. */
export interface EtcdList {
  readonly entries: LeaseEntry[];
  readonly revision: string;
}

export interface EtcdWatch {
  /** The watch stands: nothing after the revision will be missed. */
  created(): void;
  /** The events of one answer, in order. */
  changes(changes: readonly LeaseChange[]): void;
}

/** Keys a page of a list. 2,000 leases are some 300 kB: few calls for many nodes, none big. */
const PAGE_KEYS = 2000;

/** Longest message taken, against PAGE_KEYS values of etcd's 1.5 MB limit at once. */
const MESSAGE_BYTES = 32 * 1024 * 1024;

/** Hands a call straight to the line: etcd3 would retry it and hold it back on its own account. */
const NO_POLICY = {
  execute: async (call: (context: { signal: AbortSignal }) => unknown) =>
    call({ signal: new AbortController().signal }),
} as unknown as NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

/** The part of a gRPC call that is of use here. */
interface Call {
  cancel(): void;
  on(event: 'status', listener: () => void): unknown;
}

let linesOpened = 0;

export class EtcdLine {
  readonly #settings: EtcdSettings;
  readonly #endpoint: EtcdEndpoint;
  readonly #client: Etcd3;
  readonly #password: string | undefined;
  readonly #calls = new Set<Call>();
  #token: string | undefined;

  /** Makes a line; nothing is sent before the first call. @throws EtcdError */
  static async create(settings: EtcdSettings, endpoint: EtcdEndpoint): Promise<EtcdLine> {
    // Loaded on first use: reading etcd's protocol takes 0.1 s that other sources need not spend.
    const { Etcd3 } = await import('etcd3');
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
    try {
      const call = this.#client.auth.authenticate({ name: username, password });
      this.#token = (await this.#ask(call)).token;
    } catch (error) {
      // As etcd's own client does: a user given to a server without users does no harm.
      if (!(error as Error).message.includes('authentication is not enabled')) throw error;
    }
  }

  /** The value of one key, or null where there is none. @throws EtcdError */
  async get(key: string): Promise<string | null> {
    const { kvs } = await this.#ask(this.#client.kv.range({ key: Buffer.from(key) }));
    return kvs[0]?.value.toString() ?? null;
  }

  /** All keys below `folder`, relative to it, as of one revision. @throws EtcdError */
  async list(folder: string): Promise<EtcdList> {
    const entries: LeaseEntry[] = [];
    let revision = '0';
    let key = Buffer.from(folder);
    let limit = PAGE_KEYS;
    for (;;) {
      const request = { key, range_end: endOf(folder), limit, revision };
      try {
        const page = await this.#ask(this.#client.kv.range(request));
        // Later pages are asked for at the first one's revision, or the list would be torn.
        if (revision === '0') revision = page.header.revision;
        for (const found of page.kvs) entries.push(entryOf(found, folder));
        const last = page.kvs.at(-1);
        if (!page.more || last === undefined) return { entries, revision };
        key = Buffer.concat([last.key, Buffer.from([0])]);
      } catch (error) {
        if ((error as EtcdError).kind !== 'too_large' || limit === 1) throw error;
        limit = Math.ceil(limit / 16);
      }
    }
  }

  /** Delivers what happens below `folder` after `revision`, until something fails. */
  async watch(folder: string, revision: string, sink: EtcdWatch): Promise<never> {
    const stream = await this.#ask(this.#client.watchClient.watch());
    return new Promise((_, reject) => {
      const fail = (error: EtcdError) => {
        clearTimeout(timer);
        stream.cancel();
        reject(error);
      };
      const silence = `answered no watch within ${this.#settings.timing.call} ms`;
      const timer = setTimeout(
        () => fail(this.#error('silent', silence)),
        this.#settings.timing.call,
      );
      stream.on('error', (error) => fail(this.#explain(error)));
      stream.on('end', () => fail(this.#error('ended', 'ended the watch')));
      stream.on('data', (response) => {
        if (response.canceled) return fail(this.#canceled(response));
        if (response.created) {
          clearTimeout(timer);
          sink.created();
        }
        if (response.events.length > 0) sink.changes(changesOf(response, folder));
      });
      stream.write({
        create_request: {
          key: Buffer.from(folder),
          range_end: endOf(folder),
          start_revision: String(BigInt(revision) + 1n),
          progress_notify: true,
          fragment: true,
        },
      });
    });
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
    const metadata = given.metadata.clone();
    metadata.set('hasleader', 'true');
    if (this.#token !== undefined) metadata.set('token', this.#token);
    this.#calls.add(given.call);
    given.call.on('status', () => this.#calls.delete(given.call));
    return { ...given, metadata };
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw this.#explain(error as Error);
    }
  }

  #canceled({ compact_revision: compacted, cancel_reason: reason }: IWatchResponse): EtcdError {
    if (BigInt(compacted) > 0n) {
      return this.#error('compacted', `has compacted the history up to revision ${compacted}`);
    }
    return this.#explain(new Error(reason));
  }

  /** gRPC and etcd tell their errors apart by text alone once etcd3 has passed them on. */
  #explain(error: Error): EtcdError {
    const text = error.message
      .replace(/^.*Last error: (Error: )?/, '')
      .replace(/\.? *Resolution note: *$/, '')
      .replace(/ \([0-9T:.-]+Z\)$/, '');
    for (const { kind, sign, cure } of EXPLANATIONS) {
      if (sign.test(text)) return this.#error(kind, `${cure}: ${text}`);
    }
    return this.#error('other', `failed: ${text}`);
  }

  #error(kind: EtcdTrouble, what: string): EtcdError {
    return new EtcdError(kind, `${this.#endpoint.url} ${what}`);
  }
}

const EXPLANATIONS: readonly { kind: EtcdTrouble; sign: RegExp; cure: string }[] = [
  {
    kind: 'compacted',
    sign: /required revision has been compacted/,
    cure: 'compacted while listing',
  },
  { kind: 'login', sign: /invalid user ID or password/, cure: 'refuses the user or the password' },
  { kind: 'login', sign: /invalid auth token/, cure: 'refuses the login' },
  {
    kind: 'permission',
    sign: /permission denied|user name is empty/i,
    cure: 'lets this user not read the leases; grant it read on the prefix',
  },
  { kind: 'no_leader', sign: /no leader/, cure: 'has lost its cluster' },
  { kind: 'too_large', sign: /larger than max/, cure: 'has an entry that is too large' },
  {
    kind: 'tls',
    sign: /certificate|SSL|TLS|ERR_TLS|altname|wrong version number/i,
    cure: 'and we do not agree on TLS; check --etcd-cafile, --etcd-certfile and https://',
  },
  { kind: 'silent', sign: /DEADLINE_EXCEEDED|keepalive|ping timeout/i, cure: 'does not answer' },
  {
    // How a server that speaks TLS ends a plain connection.
    kind: 'unreachable',
    sign: /Failed to connect/,
    cure: 'cannot be reached; if it speaks TLS, write https://',
  },
  { kind: 'unreachable', sign: /UNAVAILABLE|ECONN|ENOTFOUND|EHOST/, cure: 'cannot be reached' },
];

function readSecrets(settings: EtcdSettings): EtcdSecrets {
  try {
    return readEtcdSecrets(settings);
  } catch (error) {
    throw new EtcdError('files', (error as Error).message);
  }
}

interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly mod_revision: string;
}

function entryOf({ key, value, mod_revision: revision }: KeyValue, folder: string): LeaseEntry {
  // Exact up to 2^53 revisions, which at a million a second is some 285 years.
  return { key: nameOf(key, folder), value: value.toString(), order: Number(revision) };
}

function nameOf(key: Buffer, folder: string): string {
  return key.subarray(Buffer.byteLength(folder)).toString();
}

function changesOf({ events }: IWatchResponse, folder: string): LeaseChange[] {
  return events.map(({ type, kv }) =>
    type.toUpperCase() === 'DELETE'
      ? { kind: 'delete', key: nameOf(kv.key, folder) }
      : { kind: 'put', entry: entryOf(kv, folder) },
  );
}

/** The first key after all that begin with `folder`, which ends in "/": etcd's prefix range. */
function endOf(folder: string): Buffer {
  const end = Buffer.from(folder);
  end[end.length - 1] = '/'.charCodeAt(0) + 1;
  return end;
}
