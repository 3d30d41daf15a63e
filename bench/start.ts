/**
 * What a start takes, in times what Node itself takes to start (`node -e 0`): of `weft --version`,
 * and of `weft run` until subnet.env is there, with the network config in etcd, a lease to take
 * again, a TUN device, pumps and the firewall. All three in turn, round after round, so that what
 * else the machine does meets all of them.
 */
import { existsSync, rmSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { startEtcd } from '../test/support/etcd.ts';
import { weftPath } from '../test/support/node.ts';
import { Background, run } from '../test/support/process.ts';
import { buildTopology, type NodeSpace, OVERLAY } from '../test/support/topology.ts';

/** Medians in milliseconds. */
export interface StartTimes {
  readonly node: number;
  readonly version: number;
  /** Undefined where there is no root to make a namespace for it. */
  readonly run: number | undefined;
}

const LOOK_EVERY_MS = 2;

/** @param rounds of which medians are taken */
export async function measureStart(rounds: number): Promise<StartTimes> {
  const times = { node: [] as number[], version: [] as number[], run: [] as number[] };
  const withRun = process.getuid?.() === 0;
  const rig = withRun ? await buildRig() : undefined;
  try {
    // The first one is not like the others: it claims the lease, and fills the page cache.
    for (let round = 0; round <= rounds; round++) {
      const node = timeOf(() => run([process.execPath, '-e', '0']));
      const version = timeOf(() => run([process.execPath, weftPath, '--version']));
      const whole = await rig?.start();
      if (round === 0) continue;
      times.node.push(node);
      times.version.push(version);
      if (whole !== undefined) times.run.push(whole);
    }
  } finally {
    await rig?.remove();
  }
  const { node, version } = times;
  const whole = times.run.length === 0 ? undefined : median(times.run);
  return { node: median(node), version: median(version), run: whole };
}

/** Prints one line each, with the ratio that counts. */
export async function benchStart(rounds: number, print: (line: string) => void): Promise<void> {
  const { node, version, run: whole } = await measureStart(rounds);
  const line = (what: string, milliseconds: number) =>
    print(
      `start, ${what}`.padEnd(52) +
        `${milliseconds.toFixed(0)} ms`.padStart(20) +
        `${(milliseconds / node).toFixed(2)} times node`.padStart(21),
    );
  line('node -e 0', node);
  line('weft --version', version);
  if (whole === undefined) print('start, weft run: needs root');
  else line('weft run, until subnet.env', whole);
}

interface Rig {
  /** One life; milliseconds from its start to subnet.env. */
  start(): Promise<number>;
  remove(): Promise<void>;
}

async function buildRig(): Promise<Rig> {
  const topology = buildTopology({ nodes: 1 });
  const space = topology.nodes[0]!;
  const argvPrefix = ['ip', 'netns', 'exec', topology.underlay];
  const etcd = await startEtcd({ host: topology.underlayAddress, argvPrefix });
  await etcd.put('/coreos.com/network/config', JSON.stringify({ Network: OVERLAY }));
  return {
    start: () => startOnce(space, etcd.endpoints[0]!),
    remove: async () => {
      await etcd.stop();
      topology.remove();
    },
  };
}

async function startOnce(space: NodeSpace, endpoint: string): Promise<number> {
  rmSync(space.subnetFile, { force: true });
  const files = ['--subnet-file', space.subnetFile, '--api-socket', space.apiSocket];
  const words = ['run', '--etcd-endpoints', endpoint, '--iface', 'eth0', '--ip-masq', ...files];
  const began = performance.now();
  // Not by `ip netns exec`, whose own start is not weft's.
  const enter = ['nsenter', `--net=/run/netns/${space.namespace}`];
  const weft = new Background([...enter, process.execPath, weftPath, ...words]);
  try {
    while (!existsSync(space.subnetFile)) {
      if (weft.end !== undefined) throw new Error(`weft ended at start:\n${weft.describe()}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    return performance.now() - began;
  } finally {
    await weft.stop();
  }
}

function timeOf(work: () => void): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
