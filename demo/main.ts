/**
 * `make demo`: builds nodes and pods as network namespaces, joins them by an underlay with a real
 * etcd, starts weft on every node, sends traffic, and shows what happened. Exit code 0 says that
 * all of it came out as it should. NODES=2 to 4, KEEP=1 to leave it up until Ctrl-C.
 */
import { type Etcd, startEtcd } from '../test/support/etcd.ts';
import { startAll, type Weft } from '../test/support/node.ts';
import { attempt } from '../test/support/process.ts';
import { buildTopology, inside, type Topology } from '../test/support/topology.ts';
import { acquireLease, writeNetworkConfig } from './agent.ts';
import { compareCounters } from './counters.ts';
import { drawTopology } from './drawing.ts';
import { createScreen, type Outcome, type Screen } from './screen.ts';
import * as traffic from './traffic.ts';

const UNDERLAY_MTU = 1500;
/** Outer IPv4 (20) and UDP (8) headers. */
const ENCAPSULATION = 28;
const MOST_NODES = 4;
const LOG_LINES = 8;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function demo(screen: Screen, nodes: number, keep: boolean): Promise<boolean> {
  const outcomes: Outcome[] = [];
  let topology: Topology | undefined;
  let etcd: Etcd | undefined;
  let wefts: Weft[] = [];
  try {
    screen.heading('Building');
    topology = await screen.step(`${nodes} nodes, a pod each, one underlay`, async () =>
      buildTopology({ nodes, underlayMtu: UNDERLAY_MTU }),
    );
    tellWhenInterrupted(screen, topology);
    etcd = await startStore(screen, topology);
    wefts = await startNodes(screen, topology, etcd);
    screen.lines(['', ...drawTopology(topology, etcd.endpoints[0]!)]);
    outcomes.push(...(await sendTraffic(screen, topology)));
    screen.heading('Counters');
    screen.table(compareCounters(wefts));
    if (keep) await hold(screen, topology);
  } catch (error) {
    for (const weft of wefts) showLog(screen, weft);
    throw error;
  } finally {
    screen.heading('Cleaning up');
    outcomes.push(...(await stopNodes(screen, wefts)));
    outcomes.push(await removeAll(screen, topology, etcd));
  }
  screen.heading('Result');
  screen.outcomes(outcomes);
  return outcomes.every(({ good }) => good);
}

async function startStore(screen: Screen, topology: Topology): Promise<Etcd> {
  const etcd = await screen.step(
    'etcd in the underlay',
    () => startEtcd({ host: topology.underlayAddress, argvPrefix: inside(topology.underlay, []) }),
    ({ endpoints }) => endpoints[0]!,
  );
  await screen.step('network config, as flannel keeps it', () => writeNetworkConfig(etcd));
  for (const node of topology.nodes) {
    const title = `lease ${node.subnetKey} → ${node.address}`;
    await screen.step(title, () => acquireLease(etcd, node));
  }
  return etcd;
}

async function startNodes(screen: Screen, topology: Topology, etcd: Etcd): Promise<Weft[]> {
  const started = performance.now();
  return await screen.step(
    'weft dataplane on every node',
    () => startAll(topology, ['--etcd-endpoints', etcd.endpoints[0]!]),
    () => `ready after ${Math.round(performance.now() - started)} ms`,
  );
}

async function sendTraffic(screen: Screen, topology: Topology): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const check = async (title: string, work: () => Promise<Outcome>) => {
    outcomes.push(await screen.check(title, work));
  };
  const pods = topology.nodes.map(({ pod }) => pod);
  const [first, last] = [pods[0]!, pods.at(-1)!];
  const mtu = UNDERLAY_MTU - ENCAPSULATION;
  screen.heading('Traffic between pods');
  for (const [i, from] of pods.entries()) {
    for (const to of pods.slice(i + 1)) {
      await check(`ping ${from.address} → ${to.address}`, () => traffic.pingPods(from, to));
    }
  }
  await check(`${mtu} bytes, DF`, () => traffic.pingLength(first, last, mtu, true));
  await check(`${mtu + 1} bytes, DF`, () => traffic.pingLength(first, last, mtu + 1, false));
  await check(`${mtu + 1} bytes, no DF`, () => traffic.pingFragmented(first, last, mtu + 1));
  await check('TCP there', () => traffic.tcpFlow(first, last));
  await check('TCP back', () => traffic.tcpFlow(last, first));
  await check('UDP there', () => traffic.udpFlow(first, last, mtu));
  return outcomes;
}

/** Leaves everything up until a signal, which then ends the demo in order. */
async function hold(screen: Screen, topology: Topology): Promise<void> {
  const [one, other] = topology.nodes;
  const enter = (namespace: string) => `ip netns exec ${namespace}`;
  screen.heading('Up until Ctrl-C. Try, in another terminal:');
  screen.lines([
    `${enter(one!.pod.namespace)} ping ${other!.pod.address}`,
    `${enter(one!.namespace)} tcpdump -ni flannel0`,
    `${enter(one!.namespace)} tcpdump -ni eth0 udp port 8285`,
    `printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | ${enter(one!.namespace)} socat -t5 - TCP:127.0.0.1:8286`,
    `${enter(topology.underlay)} env ETCDCTL_API=3 etcdctl --endpoints ${topology.underlayAddress}:2379 get --prefix /coreos.com`,
  ]);
  await new Promise<void>((resolve) => {
    for (const signal of SIGNALS) {
      // The support code would end the process at once; here there is an end in order.
      process.removeAllListeners(signal);
      process.on(signal, () => resolve());
    }
  });
}

/** The last that weft said on a node, for whoever wants to know why the demo failed. */
function showLog(screen: Screen, weft: Weft): void {
  screen.heading(`Log of node ${weft.space.index}`);
  screen.lines(weft.process.describe().trimEnd().split('\n').slice(-LOG_LINES));
}

async function stopNodes(screen: Screen, wefts: readonly Weft[]): Promise<Outcome[]> {
  if (wefts.length === 0) return [];
  const stop = async (): Promise<Outcome> => {
    const what = 'weft stops when asked';
    const ends = await Promise.allSettled(wefts.map((weft) => weft.stop()));
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed !== undefined) return { what, result: String(failed.reason), good: false };
    const times = ends.map((end) => (end.status === 'fulfilled' ? end.value.milliseconds : 0));
    return { what, result: `${Math.round(Math.max(...times))} ms`, good: true };
  };
  return [await screen.check('weft told to stop', stop)];
}

async function removeAll(
  screen: Screen,
  topology: Topology | undefined,
  etcd: Etcd | undefined,
): Promise<Outcome> {
  return await screen.check('namespaces, devices, etcd and its data', async () => {
    await etcd?.stop();
    topology?.remove();
    return leftBehind(topology);
  });
}

function leftBehind(topology: Topology | undefined): Outcome {
  const there = attempt(['ip', 'netns', 'list']).stdout;
  const prefix = topology?.underlay.replace(/net$/, '') ?? 'no topology';
  const left = there.split('\n').filter((line) => line.startsWith(prefix));
  const result = left.length === 0 ? 'nothing left behind' : `left behind: ${left.join(', ')}`;
  return { what: 'clean-up', result, good: left.length === 0 };
}

/** Ctrl-C: the support code ends the process and cleans up on its way out; this says so. */
function tellWhenInterrupted(screen: Screen, topology: Topology): void {
  let interrupted = false;
  for (const signal of SIGNALS) {
    // Stays registered, or a second Ctrl-C would end the process in the middle of cleaning up.
    process.prependListener(signal, () => {
      if (!interrupted) screen.lines(['', 'Interrupted: cleaning up.']);
      interrupted = true;
    });
  }
  process.once('exit', () => {
    if (interrupted) screen.outcomes([leftBehind(topology)]);
  });
}

function readNodes(text: string | undefined): number {
  const nodes = Number(text ?? 2);
  if (Number.isInteger(nodes) && nodes >= 2 && nodes <= MOST_NODES) return nodes;
  throw new Error(`NODES is 2 to ${MOST_NODES}, not '${text}'`);
}

const screen = createScreen(process.stdout, process.env);
try {
  const keep = (process.env.KEEP ?? '') !== '' && process.env.KEEP !== '0';
  const good = await demo(screen, readNodes(process.env.NODES), keep);
  process.exitCode = good ? 0 : 1;
} catch (error) {
  screen.lines(['', screen.paint('red', `The demo failed: ${(error as Error).message}`)]);
  process.exitCode = 1;
}
