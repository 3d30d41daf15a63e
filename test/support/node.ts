/**
 * weft in a node's namespace: started as an operator would, ready when it says so, stopped by pid.
 * Its metrics are read over HTTP from inside the namespace.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readProc } from './proc.ts';
import { attempt, Background, type Ran, run, runAside, type Stop } from './process.ts';
import { cpuSign } from './stillness.ts';
import { inside, type NodeSpace, OVERLAY, type Topology } from './topology.ts';
import { lookAt, waitFor, waitOut } from './waitfor.ts';

export const weftPath = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const METRICS_PORT = 8286;

export interface LeaseValue {
  readonly PublicIP: string;
  readonly BackendType?: string;
}

/** Writes a lease file that names every node of the topology, or those given; returns its path. */
export function writeLeases(
  topology: Topology,
  leases: Readonly<Record<string, LeaseValue>> = leasesOf(topology.nodes),
): string {
  const path = join(topology.directory, 'leases.json');
  writeFileSync(path, JSON.stringify(leases));
  return path;
}

/** flannel's lease of each node, by flannel's key. */
export function leasesOf(nodes: readonly NodeSpace[]): Record<string, LeaseValue> {
  return Object.fromEntries(nodes.map((n) => [n.subnetKey, { PublicIP: n.address }]));
}

/** Prometheus text, parsed: `name{labels}` → value. */
export class Metrics {
  readonly values: ReadonlyMap<string, number>;

  constructor(text: string) {
    const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    this.values = new Map(
      samples.map((line) => {
        const space = line.lastIndexOf(' ');
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
    );
  }

  /** Sum over the series of a metric whose labels include the given ones; NaN if there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    let sum = Number.NaN;
    for (const [series, value] of this.values) {
      const [own, rest = ''] = series.split(/[{}]/);
      if (own !== name || !wanted.every((label) => rest.split(',').includes(label))) continue;
      sum = (Number.isNaN(sum) ? 0 : sum) + value;
    }
    return sum;
  }

  /** Dropped packets of one direction by reason; only the reasons that are not 0. */
  drops(direction: 'tx' | 'rx'): Record<string, number> {
    const drops: Record<string, number> = {};
    for (const [series, value] of this.values) {
      if (!series.startsWith('weft_dropped_packets_total{') || value === 0) continue;
      if (!series.includes(`direction="${direction}"`)) continue;
      const reason = /reason="([^"]*)"/.exec(series)?.[1] ?? '';
      drops[reason] = (drops[reason] ?? 0) + value;
    }
    return drops;
  }

  /** Drops of this direction since an earlier reading, by reason. */
  newDrops(before: Metrics, direction: 'tx' | 'rx'): Record<string, number> {
    const [old, now] = [before.drops(direction), this.drops(direction)];
    const changes = Object.entries(now).map(([reason, n]) => [reason, n - (old[reason] ?? 0)]);
    return Object.fromEntries(changes.filter(([, n]) => n !== 0));
  }
}

/** A path of a server on loopback inside a namespace, by HTTP/1.0; status 0 while none listens. */
export function httpGet(
  namespace: string,
  path: string,
  port = METRICS_PORT,
): { status: number; body: string } {
  const { argv, input } = httpRequest(namespace, path, port);
  return httpAnswer(attempt(argv, { input }).stdout);
}

/**
 * Our half stays open to the end: servers take its close for a client that has gone. The time is
 * for an answer from a machine that has much else to do.
 */
function httpRequest(namespace: string, path: string, port = METRICS_PORT) {
  const argv = inside(namespace, ['socat', '-t60', '-', `TCP:127.0.0.1:${port},shut-none`]);
  return { argv, input: `GET ${path} HTTP/1.0\r\n\r\n` };
}

function httpAnswer(answer: string): { status: number; body: string } {
  const [head = '', ...body] = answer.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.\d (\d+)/.exec(head)?.[1] ?? 0), body: body.join('\r\n\r\n') };
}

/** A command that looks at the weft of a node, run in the node's namespace to its end. */
export function ask(space: NodeSpace, ...words: string[]): Ran {
  const argv = [process.execPath, weftPath, ...words, '--api-socket', space.apiSocket];
  return attempt(inside(space.namespace, argv));
}

const COMMANDS = ['dataplane', 'agent', 'run'];

/** One `weft dataplane`, or another command where the first argument names it. */
export class Weft {
  readonly space: NodeSpace;
  readonly process: Background;

  /**
   * Starts without waiting; `args` follow the usual ones, and take their place. With `output` both
   * output streams go to that file. TEST_OFFLOAD, such as `udp_gro=off`, goes to every node.
   */
  constructor(space: NodeSpace, args: readonly string[], output?: string) {
    this.space = space;
    // The file system is one for all nodes.
    const socket = ['--api-socket', space.apiSocket];
    const underlay = args.includes('--iface') ? [] : ['--iface', 'eth0'];
    const forced = process.env.TEST_OFFLOAD;
    const offload = forced === undefined ? [] : ['--offload', forced];
    const [command, rest] = splitCommand(args);
    const follows = args.includes('--subnet-file');
    const leaseless = follows ? [] : ['--network', OVERLAY, '--subnet', space.subnet];
    const own = command === 'dataplane' ? leaseless : ['--subnet-file', space.subnetFile];
    // The packets of a probe would be counted with those of the test.
    const packets = command === 'agent' ? [] : [...offload, '--probe-interval', '0'];
    const usual = [...own, ...socket, ...underlay, ...packets];
    const argv = [process.execPath, weftPath, command, ...usual, ...rest];
    const redirect = ['sh', '-c', 'exec >"$0" 2>&1; exec "$@"', output ?? ''];
    const whole = output === undefined ? argv : [...redirect, ...argv];
    this.process = new Background(inside(space.namespace, whole));
    this.process.moreWords = async () => {
      const { status, body } = await this.readyz();
      return `its /readyz: ${status === 0 ? 'nobody listens' : `${status} ${body}`}`;
    };
  }

  /** Starts and waits until it is ready to carry packets. */
  static async start(space: NodeSpace, args: readonly string[]): Promise<Weft> {
    const weft = new Weft(space, args);
    await weft.ready();
    return weft;
  }

  async ready(): Promise<void> {
    const look = async () => {
      lookAt(this.process);
      const { status, body } = await this.readyz();
      if (status === 200) return true;
      // A start that takes long on a slow machine shows in nothing but its CPU time.
      const said = status === 0 ? 'nobody listens' : `${status} ${body}`;
      throw new Error(
        `/readyz: ${said} (CPU ${cpuSign(readProc(this.process.pid)?.cpuSeconds ?? 0)})`,
      );
    };
    // Every look starts two programs, and they take their share of two cores.
    await waitFor(`weft on node ${this.space.index} to be ready`, look, { every: 40 });
  }

  /** What it answers at /readyz; status 0 while nobody listens there. */
  async readyz(): Promise<{ status: number; body: string }> {
    const { argv, input } = httpRequest(this.space.namespace, '/readyz');
    return httpAnswer((await runAside(argv, { input })).stdout);
  }

  metrics(): Metrics {
    lookAt(this.process);
    const { status, body } = httpGet(this.space.namespace, '/metrics');
    if (status !== 200) throw new Error(`/metrics: ${status}\n${this.process.describe()}`);
    return new Metrics(body);
  }

  /** CPU seconds used so far by all its threads, to the nanosecond (proc(5), schedstat). */
  cpuSeconds(): number {
    const pid = this.process.pid;
    const threads = run(['ls', `/proc/${pid}/task`])
      .split('\n')
      .filter(Boolean);
    const nanoseconds = threads.map((thread) => {
      const schedstat = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8');
      return Number(schedstat.split(' ')[0]);
    });
    return nanoseconds.reduce((a, b) => a + b, 0) / 1e9;
  }

  /** Ordered stop; an exit code other than 0 is an error. */
  async stop(): Promise<Stop> {
    const end = await this.process.stop('SIGTERM');
    if (end.code !== 0) throw new Error(`weft did not stop well:\n${this.process.describe()}`);
    return end;
  }
}

function splitCommand(args: readonly string[]): [command: string, rest: readonly string[]] {
  const [first = '', ...rest] = args;
  return COMMANDS.includes(first) ? [first, rest] : ['dataplane', args];
}

/** Starts weft on every node of a topology, side by side. */
export async function startAll(topology: Topology, args: readonly string[]): Promise<Weft[]> {
  const wefts = topology.nodes.map((space) => new Weft(space, args));
  await Promise.all(wefts.map((weft) => weft.ready()));
  return wefts;
}

/** CPU share of one core over a second, with nothing to do but wait: 0.05 is five percent. */
export async function idleShare(weft: Weft): Promise<number> {
  const [cpu, clock] = [weft.cpuSeconds(), performance.now()];
  await waitOut(1000);
  return ((weft.cpuSeconds() - cpu) * 1000) / (performance.now() - clock);
}
