import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { makeFolder } from './maker.ts';
import { Said } from './stillness.ts';
import { announce, lookAt, type Subject, waitFor } from './waitfor.ts';

/** How the etcd under test is to run; all of it may be left out. */
export interface EtcdOptions {
  /** One member, or three that form a cluster. */
  readonly members?: 1 | 3;
  /** Address to listen on and to advertise; loopback unless said otherwise. */
  readonly host?: string;
  /** Client port of the first member; further ports follow it. Free ports unless said otherwise. */
  readonly port?: number;
  /** Put before every command: `['ip', 'netns', 'exec', NAME]` runs etcd in a namespace. */
  readonly argvPrefix?: readonly string[];
  /** Server certificate, its key and the CA they come from; the client side becomes https. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
  /** What etcdctl shows a server that asks for certificates. */
  readonly client?: { readonly cert: string; readonly key: string };
  /** Further arguments for etcd. */
  readonly args?: readonly string[];
}

export interface EtcdMember {
  readonly name: string;
  readonly port: number;
  readonly endpoint: string;
  /** The process now running; undefined between `kill` and `restart`. */
  pid(): number | undefined;
  /** Ends the process and waits for that; SIGKILL unless said otherwise. The data stays. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and data, and waits until it answers. */
  restart(): Promise<void>;
}

/** A real etcd, started for a test and gone without trace after `stop`. */
export interface Etcd {
  readonly members: readonly EtcdMember[];
  readonly endpoints: readonly string[];
  put(key: string, value: string): Promise<void>;
  delete(key: string): Promise<void>;
  /** The values of all keys that begin with `prefix`. */
  list(prefix: string): Promise<Map<string, string>>;
  /** The revision of the store now. */
  revision(): Promise<number>;
  /** Forgets all history before `revision`, as etcd's own compaction does. */
  compact(revision: number): Promise<void>;
  /** Many puts in few transactions, by the JSON gateway; not across a namespace. */
  putMany(entries: ReadonlyMap<string, string>): Promise<void>;
  /** Runs etcdctl; answers what it printed. `user` is NAME:PASSWORD. */
  etcdctl(args: readonly string[], more?: { input?: string; user?: string }): Promise<string>;
  /** Ends all members and removes the data. */
  stop(): Promise<void>;
}

interface Settings {
  readonly directory: string;
  readonly host: string;
  readonly scheme: 'http' | 'https';
  readonly options: EtcdOptions;
}

/** Starts etcd and waits until it answers. Needs Debian's etcd-server and etcd-client. */
export async function startEtcd(options: EtcdOptions = {}): Promise<Etcd> {
  const directory = makeFolder('etcd');
  const scheme = options.tls === undefined ? 'http' : 'https';
  const settings = { directory, host: options.host ?? '127.0.0.1', scheme, options } as const;
  const count = options.members ?? 1;
  const ports = await choosePorts(options, 2 * count);
  const members: Member[] = [];
  for (let index = 0; index < count; index++) members.push(new Member(settings, index, ports));
  const etcd = new RunningEtcd(settings, members);
  try {
    for (const member of members) member.start();
    await Promise.all(members.map((member) => member.answers()));
  } catch (error) {
    await etcd.stop();
    throw error;
  }
  return etcd;
}

class RunningEtcd implements Etcd {
  readonly members: readonly Member[];
  readonly endpoints: readonly string[];
  readonly #settings: Settings;

  constructor(settings: Settings, members: readonly Member[]) {
    this.#settings = settings;
    this.members = members;
    this.endpoints = members.map((member) => member.endpoint);
  }

  async put(key: string, value: string): Promise<void> {
    // By standard input, for an argument has a length limit; there, nothing cannot be said.
    if (value === '') await this.etcdctl(['put', '--', key, '']);
    else await this.etcdctl(['put', '--', key], { input: value });
  }

  async delete(key: string): Promise<void> {
    await this.etcdctl(['del', '--', key]);
  }

  async list(prefix: string): Promise<Map<string, string>> {
    const answer = JSON.parse(await this.etcdctl(['get', '--prefix', '-w', 'json', '--', prefix]));
    const pairs: { key: string; value?: string }[] = answer.kvs ?? [];
    return new Map(pairs.map(({ key, value }) => [decode(key), decode(value ?? '')]));
  }

  async revision(): Promise<number> {
    const answer = await this.etcdctl(['get', '-w', 'json', '--', 'no such key']);
    return JSON.parse(answer).header.revision;
  }

  async compact(revision: number): Promise<void> {
    await this.etcdctl(['compact', String(revision)]);
  }

  async putMany(entries: ReadonlyMap<string, string>): Promise<void> {
    const puts = [...entries].map(([key, value]) => {
      return { request_put: { key: encode(key), value: encode(value) } };
    });
    for (let first = 0; first < puts.length; first += TRANSACTION_PUTS) {
      const body = JSON.stringify({ success: puts.slice(first, first + TRANSACTION_PUTS) });
      const answer = await fetch(`${this.endpoints[0]}/v3/kv/txn`, { method: 'POST', body });
      if (!answer.ok) throw new Error(`etcd refused a transaction: ${await answer.text()}`);
      await answer.text();
    }
  }

  etcdctl(args: readonly string[], more: { input?: string; user?: string } = {}): Promise<string> {
    return runEtcdctl(this.#settings, this.endpoints.join(','), args, more);
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    rmSync(this.#settings.directory, { recursive: true, force: true });
  }
}

const TRANSACTION_PUTS = 1000;
/** A member logs this once it is part of its cluster and takes calls; a client had to poll. */
const SERVES = /serving client traffic/;
/** Of etcdctl, for an answer; its own 5 s and 2 s are too few on a machine that is loaded. */
const PATIENCE = '60s';

class Member implements EtcdMember, Subject {
  readonly name: string;
  readonly port: number;
  readonly endpoint: string;
  readonly #settings: Settings;
  readonly #argv: readonly string[];
  #conceal: () => void = () => undefined;
  #process: ChildProcess | undefined;
  #said = '';
  #serves = false;
  readonly #news = new Said();

  constructor(settings: Settings, index: number, ports: readonly number[]) {
    this.name = `member${index}`;
    this.port = ports[2 * index] as number;
    this.endpoint = `${settings.scheme}://${settings.host}:${this.port}`;
    this.#settings = settings;
    this.#argv = etcdArguments(settings, this, ports);
  }

  pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Not when the test ended it. */
  hasEnded(): boolean {
    const child = this.#process;
    return child !== undefined && (child.exitCode !== null || child.signalCode !== null);
  }

  hasFallen(): boolean {
    return this.hasEnded();
  }

  news(): number {
    return this.#news.news;
  }

  lastWords(): string {
    const how = this.hasEnded() ? 'has ended' : 'runs';
    return `${this.name} of etcd at ${this.endpoint} ${how}; it said last:\n${this.#said}`;
  }

  start(): void {
    // setpriv makes the kernel end etcd should the test itself be killed.
    const own = ['setpriv', '--pdeathsig', 'KILL', 'etcd', ...this.#argv];
    const [command = '', ...args] = [...(this.#settings.options.argvPrefix ?? []), ...own];
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    this.#serves = false;
    let line = '';
    child.on('error', (error) => {
      this.#said += error.message;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-2000);
      this.#news.take(text);
      line = (line + text).slice(-text.length - SERVES.source.length);
      this.#serves ||= SERVES.test(line);
    });
    this.#conceal = announce(this);
  }

  async answers(): Promise<void> {
    await waitFor(`${this.name} of etcd to answer on ${this.endpoint}`, () => {
      lookAt(this);
      return this.#serves;
    });
  }

  async restart(): Promise<void> {
    this.start();
    await this.answers();
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    this.#conceal();
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}

function etcdArguments(settings: Settings, member: Member, ports: readonly number[]): string[] {
  const { directory, host, scheme, options } = settings;
  const peerUrl = (port: number | undefined) => `http://${host}:${port}`;
  const peerPorts = ports.filter((_, at) => at % 2 === 1);
  const ownPeer = peerUrl(ports[ports.indexOf(member.port) + 1]);
  const url = `${scheme}://${host}:${member.port}`;
  const tls = options.tls;
  return [
    ...['--name', member.name, '--data-dir', join(directory, member.name)],
    ...['--listen-client-urls', url, '--advertise-client-urls', url],
    ...['--listen-peer-urls', ownPeer, '--initial-advertise-peer-urls', ownPeer],
    '--initial-cluster',
    peerPorts.map((port, index) => `member${index}=${peerUrl(port)}`).join(','),
    ...['--initial-cluster-token', directory, '--max-txn-ops', String(TRANSACTION_PUTS)],
    ...['--logger', 'zap', '--log-level', 'info', '--log-outputs', 'stderr'],
    ...(tls === undefined ? [] : ['--cert-file', tls.cert, '--key-file', tls.key]),
    // One member elects itself; there is no reason to wait a second for it.
    ...(options.members === 3 ? [] : ['--heartbeat-interval', '20', '--election-timeout', '200']),
    ...(options.args ?? []),
  ];
}

/** Two ports a member, client then peer. In a namespace nothing else listens, so any will do. */
async function choosePorts(options: EtcdOptions, count: number): Promise<number[]> {
  const { port, argvPrefix } = options;
  const first = port ?? (argvPrefix === undefined ? undefined : 2379);
  if (first !== undefined) return Array.from({ length: count }, (_, at) => first + at);
  // All are held at once, so that no two are the same.
  const holders = Array.from({ length: count }, () => createServer().listen(0, options.host));
  await Promise.all(holders.map((holder) => once(holder, 'listening')));
  const ports = holders.map((holder) => (holder.address() as AddressInfo).port);
  await Promise.all(holders.map((holder) => once(holder.close(), 'close')));
  return ports;
}

function runEtcdctl(
  { options }: Settings,
  endpoints: string,
  args: readonly string[],
  { input, user }: { input?: string; user?: string },
): Promise<string> {
  const { tls, client } = options;
  const trust = tls === undefined ? [] : ['--cacert', tls.ca];
  const shown = client === undefined ? [] : ['--cert', client.cert, '--key', client.key];
  const patience = ['--command-timeout', PATIENCE, '--dial-timeout', PATIENCE];
  const own = ['etcdctl', '--endpoints', endpoints, ...patience, ...trust, ...shown, ...args];
  const [command = '', ...rest] = [...(options.argvPrefix ?? []), ...own];
  const env = {
    ...process.env,
    ETCDCTL_API: '3',
    ...(user !== undefined && { ETCDCTL_USER: user }),
  };
  return new Promise((resolve, reject) => {
    const limits = { env, maxBuffer: 256 * 1024 * 1024 };
    const child = execFile(command, rest, limits, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`etcdctl ${args.join(' ').slice(0, 200)}: ${stderr || error.message}`));
    });
    // An etcdctl that ends early closes its input; its exit code tells the story.
    child.stdin?.on('error', () => undefined).end(input ?? '');
  });
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString();
}
