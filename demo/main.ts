/**
 * `make demo`: builds nodes as network namespaces, joins them by an underlay with a real etcd that
 * holds nothing but a network config, starts `weft run` on every node, has the CNI plugins make a
 * pod on each, sends traffic, and shows what happened. Exit code 0 says that all of it came out as
 * it should. NODES=2 to 4; BACKEND=udp, vxlan or host-gw; KEEP=1 to leave it up until Ctrl-C.
 * FAULT=mtu, firewall, duplicate or dead builds that fault in, and then exit code 0 says that weft
 * named it.
 */
import { Cluster, PREFIX } from '../test/support/cluster.ts';
import { addPod, type CniPod } from '../test/support/cni.ts';
import { removeLeftovers } from '../test/support/leftovers.ts';
import type { Weft } from '../test/support/node.ts';
import { attempt } from '../test/support/process.ts';
import type { Topology } from '../test/support/topology.ts';
import { type DemoBackend, readBackend } from './backends.ts';
import { compareCounters } from './counters.ts';
import { drawTopology } from './drawing.ts';
import { type DemoFault, readFault } from './faults.ts';
import { findFault, startFaulty, typedLooks } from './find-fault.ts';
import { createScreen, type Outcome, type Screen } from './screen.ts';
import * as traffic from './traffic.ts';

const UNDERLAY_MTU = 1500;
const MOST_NODES = 4;
const LOG_LINES = 8;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Wishes {
  readonly nodes: number;
  readonly backend: DemoBackend;
  readonly keep: boolean;
  readonly fault: DemoFault | undefined;
}

async function demo(screen: Screen, wishes: Wishes): Promise<boolean> {
  const { nodes, backend, keep, fault } = wishes;
  const outcomes: Outcome[] = [];
  let cluster: Cluster | undefined;
  let wefts: Weft[] = [];
  try {
    const left = removeLeftovers();
    if (left.length > 0) screen.lines(['Removed what a run that was killed had left:', ...left]);
    screen.heading('Building');
    cluster = await screen.step(`${nodes} nodes, one underlay, etcd`, async () =>
      Cluster.build({ nodes, bare: true }),
    );
    const { topology, etcd } = cluster;
    tellWhenInterrupted(screen, topology);
    const value = { Network: '10.244.0.0/16', Backend: backend.config };
    const title = `${PREFIX}/config ← ${JSON.stringify(value)}`;
    await screen.step(title, () => etcd.put(`${PREFIX}/config`, JSON.stringify(value)));
    wefts = await startNodes(screen, cluster, fault);
    const pods = await makePods(screen, cluster);
    screen.lines(['', ...drawTopology(topology, pods, backend, etcd.endpoints[0]!)]);
    if (fault !== undefined) {
      outcomes.push(...(await findFault(screen, fault, { cluster, wefts, pods })));
    } else {
      outcomes.push(...(await sendTraffic(screen, pods, UNDERLAY_MTU - backend.overhead)));
      outcomes.push(await reachOutside(screen, pods[0]!, topology));
      if (backend.device === 'flannel0') {
        screen.heading('Counters');
        screen.table(compareCounters(wefts));
      }
    }
    if (keep) await hold(screen, topology, pods, wishes);
  } catch (error) {
    for (const weft of wefts) showLog(screen, weft);
    throw error;
  } finally {
    screen.heading('Cleaning up');
    outcomes.push(...(await stopNodes(screen, wefts)));
    outcomes.push(await removeAll(screen, cluster));
  }
  screen.heading('Result');
  screen.outcomes(outcomes);
  return outcomes.every(({ good }) => good);
}

async function startNodes(
  screen: Screen,
  cluster: Cluster,
  fault: DemoFault | undefined,
): Promise<Weft[]> {
  const started = performance.now();
  const args = ['run', '--ip-masq'];
  const wefts = await screen.step(
    'weft run on every node',
    () => (fault === undefined ? cluster.startAll(args) : startFaulty(cluster, fault, args)),
    () => `ready after ${Math.round(performance.now() - started)} ms`,
  );
  // They are stopped by us, who look at how they end.
  cluster.wefts.length = 0;
  for (const [key, value] of await cluster.leases()) screen.lines([`  lease ${key} → ${value}`]);
  return wefts;
}

async function makePods(screen: Screen, cluster: Cluster): Promise<CniPod[]> {
  const pods: CniPod[] = [];
  const state = `${cluster.topology.directory}/cni`;
  for (const node of cluster.nodes) {
    const make = async () => addPod(node, node.pod.namespace, state);
    const title = `pod ${node.index} by the CNI plugins bridge, host-local, portmap`;
    pods.push(await screen.step(title, make, ({ address }) => address));
  }
  return pods;
}

async function sendTraffic(
  screen: Screen,
  pods: readonly CniPod[],
  mtu: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const check = async (title: string, work: () => Promise<Outcome>) => {
    outcomes.push(await screen.check(title, work));
  };
  const [first, last] = [pods[0]!, pods.at(-1)!];
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

/** By way of masquerading: the underlay has no route to pods. */
async function reachOutside(screen: Screen, pod: CniPod, topology: Topology): Promise<Outcome> {
  const outside = { namespace: topology.underlay, address: topology.underlayAddress };
  const title = `ping ${pod.address} → ${outside.address}, outside the overlay`;
  return await screen.check(title, () => traffic.pingPods(pod, outside));
}

/** Leaves everything up until a signal, which then ends the demo in order. */
async function hold(
  screen: Screen,
  topology: Topology,
  [one, other]: readonly CniPod[],
  { backend: { device, filter }, fault }: Wishes,
): Promise<void> {
  const node = one!.node.namespace;
  const enter = (namespace: string) => `ip netns exec ${namespace}`;
  screen.heading('Up until Ctrl-C. Try, in another terminal:');
  screen.lines([
    ...(fault === undefined ? [] : typedLooks(fault, topology.nodes)),
    `${enter(one!.namespace)} ping ${other!.address}`,
    `${enter(node)} tcpdump -ni ${device === '' ? 'cni0' : device}`,
    `${enter(node)} tcpdump -ni eth0 ${filter}`,
    `${enter(node)} nft list table ip flannel-ipv4`,
    `printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | ${enter(node)} socat -t5 - TCP:127.0.0.1:8286`,
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

async function stopNodes(screen: Screen, all: readonly Weft[]): Promise<Outcome[]> {
  // A fault may have ended some already.
  const wefts = all.filter((weft) => weft.process.end === undefined);
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

async function removeAll(screen: Screen, cluster: Cluster | undefined): Promise<Outcome> {
  return await screen.check('namespaces, devices, etcd and its data', async () => {
    await cluster?.remove();
    return leftBehind(cluster?.topology);
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
  const backend = readBackend(process.env.BACKEND || 'udp');
  const fault = readFault(process.env.FAULT ?? '');
  if (fault !== undefined && backend.device !== 'flannel0') {
    throw new Error('FAULT is for BACKEND=udp: weft moves no packets of the others');
  }
  const nodes = readNodes(process.env.NODES);
  const good = await demo(screen, { nodes, backend, keep, fault });
  process.exitCode = good ? 0 : 1;
} catch (error) {
  screen.lines(['', screen.paint('red', `The demo failed: ${(error as Error).message}`)]);
  process.exitCode = 1;
}
