/**
 * How long the kernel backends take to follow the leases, in a network namespace of its own:
 *
 *     node dist/bench/netns/backends.js [vxlan|host-gw] [peers]
 *
 * Three rounds each: from nothing to all peers, a look that finds nothing to do, one peer that
 * moves, and all gone. Needs root.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import { type Backend, createBackend } from '../../src/agent/backend/backend.ts';
import { vtepData } from '../../src/agent/backend/vxlan/vtep.ts';
import { Readiness } from '../../src/agent/readiness.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { commandRunner } from '../../src/linux/command.ts';
import { parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { ownPrefix } from '../../test/support/maker.ts';
import { atEnd, attempt, run } from '../../test/support/process.ts';

const ROUNDS = 3;
/** Longer than the monitor keeps quiet, so that a look of our own making is not measured. */
const REST_MS = 1_500;
const NETWORK = parsePrefix4('10.0.0.0/8')!;
const UPLINK = parseAddress4('198.18.0.1')!;
const FIRST_PEER = parseAddress4('198.18.1.0')!;
const ELSEWHERE = parseAddress4('198.19.255.1')!;

const [type = 'vxlan', count = '5000'] = process.argv.slice(2);
const peers = Number(count);
const namespace = `${ownPrefix}-bench`;

function buildNamespace(): void {
  run(['ip', 'netns', 'add', namespace]);
  atEnd(() => attempt(['ip', 'netns', 'delete', namespace]));
  const links = `link set lo up
    link add eth0 type veth peer name other
    addr add 198.18.0.1/15 dev eth0
    link set other up
    link set eth0 up\n`;
  run(['ip', '-n', namespace, '-batch', '-'], { input: links });
}

function leaseOf(index: number): Lease {
  const hex = (octet: number) => (octet & 0xff).toString(16).padStart(2, '0');
  return {
    key: `${index}`,
    subnet: { network: NETWORK.network + (index + 1) * 256, length: 24 },
    publicAddress: FIRST_PEER + index,
    backendType: type,
    backendData: vtepData(1, `0a:00:00:00:${hex(index >> 8)}:${hex(index)}`),
  };
}

async function openBackend(): Promise<Backend> {
  const prefix = ['ip', 'netns', 'exec', namespace];
  const backend = await createBackend(type, {
    run: commandRunner(prefix),
    prefix,
    uplink: { name: 'eth0', mtu: 1500, address: UPLINK, publicAddress: UPLINK, reason: 'bench' },
    options: {},
    previous: undefined,
    log: pino({ level: 'warn' }),
    readiness: new Readiness(),
    republish: () => {},
  });
  const subnet = { network: NETWORK.network, length: 24 };
  await backend.open({ subnet, network: NETWORK, publicAddress: UPLINK });
  return backend;
}

/** Milliseconds until a look that began after the call has ended. */
async function timeOf(backend: Backend, leases: readonly Lease[]): Promise<number> {
  await pause(REST_MS);
  const before = backend.status().reconciles;
  const start = performance.now();
  backend.setPeers(leases);
  while (backend.status().reconciles === before) await pause(1);
  return performance.now() - start;
}

async function measure(backend: Backend): Promise<void> {
  const leases = Array.from({ length: peers }, (_, index) => leaseOf(index));
  const moved = leases.map((lease, index) =>
    index === 7 ? { ...lease, publicAddress: ELSEWHERE } : lease,
  );
  for (let round = 1; round <= ROUNDS; round++) {
    const all = await timeOf(backend, leases);
    const { programmed } = backend.status();
    if (programmed !== peers) throw new Error(`${programmed} of ${peers} peers programmed`);
    const cpu = process.cpuUsage();
    const nothing = await timeOf(backend, leases);
    const { user, system } = process.cpuUsage(cpu);
    const one = await timeOf(backend, moved);
    const gone = await timeOf(backend, []);
    const own = `(${Math.round((user + system) / 1000)} ms of it on our CPU)`;
    const figures = [`all ${all | 0}`, `no change ${nothing | 0} ${own}`, `one moves ${one | 0}`];
    process.stdout.write(`${type} ${peers} peers, ms: ${figures.join(', ')}, gone ${gone | 0}\n`);
  }
}

buildNamespace();
const backend = await openBackend();
await measure(backend);
await backend.close();
process.exit();
