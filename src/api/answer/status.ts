import { hostname, release } from 'node:os';
import * as counters from '../../dataplane/counters.ts';
import { type DropCount, dropCounts, sumOf } from '../../observe/drops/counts.ts';
import { unhealthyPumps } from '../../observe/metrics.ts';
import { capabilities } from '../../observe/node-metrics.ts';
import type { Flow, Health, Offload, Status, Worker } from '../schema.ts';
import type { ApiView } from '../view.ts';
import type { Recorder } from './history.ts';
import { totals } from './totals.ts';

/** More would not fit a screen; the count by reason has them all. */
const REFUSALS_SHOWN = 10;
const STARTED_SECONDS = Date.now() / 1000 - process.uptime();

export function answerHealth(view: ApiView): Health {
  const notReady = [...view.notReady()];
  const hanging = unhealthyPumps(view.pumps());
  return { ready: notReady.length === 0, notReady, alive: hanging.length === 0, hanging };
}

/** The node at a glance: everything that `weft status` and the status page show of it. */
export function answerStatus(view: ApiView, recorder: Recorder): Status {
  const drops = dropCounts(view);
  return {
    version: view.version,
    command: view.command,
    host: hostname(),
    pid: process.pid,
    kernel: release(),
    startedSeconds: STARTED_SECONDS,
    nowSeconds: Date.now() / 1000,
    health: answerHealth(view),
    device: view.device(),
    underlay: view.underlay(),
    lease: view.lease(),
    workers: workers(view, recorder),
    offloads: offloads(view),
    leaseSource: leaseSource(view),
    networkConfig: view.networkConfig(),
    ...flows(view, recorder, drops),
    drops: drops.map((row, index) => {
      return { ...row, perSecond: recorder.dropRate(index, row.packets) };
    }),
  };
}

function workers(view: ApiView, recorder: Recorder): Worker[] {
  return view.pumps().map((pump) => ({
    direction: pump.direction,
    worker: pump.worker,
    busyRatio: Math.max(0, recorder.busy.ratioOf(`${pump.direction}${pump.worker}`)),
    cpuSeconds: pump.cpuSeconds,
    heartbeatAgeSeconds: pump.heartbeatAgeSeconds,
    socketBufferBytes: pump.socketBufferBytes,
  }));
}

function offloads(view: ApiView): Offload[] {
  if (view.pumps().length === 0) return [];
  return Object.entries(capabilities(view)).map(([name, inForce]) => {
    return { name, inForce: inForce === 1, reason: inForce === 1 ? '' : whyOff(view, name) };
  });
}

const KERNELS_OF_GSO =
  'Linux 4.18 or newer, but not 7.0.0 to 7.1.4, which mangle such sends (--offload udp_gso=on ' +
  'where the distribution has the fix)';

/** What each feature cannot be without, and what the kernel must have for it. */
const NEEDS: Readonly<Record<string, { feature?: string; kernel: string }>> = {
  tun_vnet_hdr: { kernel: 'a TUN with IFF_VNET_HDR' },
  tun_tso: { feature: 'tun_vnet_hdr', kernel: 'a TUN that takes TUN_F_TSO4' },
  tun_uso: { feature: 'tun_vnet_hdr', kernel: 'Linux 6.2 or newer' },
  udp_gso: { kernel: KERNELS_OF_GSO },
  udp_gro: { kernel: 'Linux 5.12 or newer' },
  coalesce_tcp: { feature: 'tun_tso', kernel: 'a TUN that takes TCP superpackets' },
  coalesce_udp: { feature: 'tun_uso', kernel: 'a TUN that takes UDP superpackets' },
};

function whyOff(view: ApiView, name: string): string {
  if (view.disabledFeatures.includes(name)) return `switched off by --offload ${name}=off`;
  const lost = view.pumps().find((pump) => pump.lowered.includes(name));
  if (lost !== undefined) {
    return `the kernel refused it at run time to ${lost.direction} worker ${lost.worker}`;
  }
  const needs = NEEDS[name];
  const without = needs?.feature;
  if (without !== undefined && capabilities(view)[without] !== 1) return `needs ${without}`;
  return `this kernel (${release()}) lacks it: needs ${needs?.kernel ?? 'a newer one'}`;
}

function leaseSource(view: ApiView): Status['leaseSource'] {
  const { lastSyncSeconds, ...rest } = view.leaseStatus();
  const { peers, refused } = view.leaseCounts();
  return {
    name: view.leaseSourceName,
    ...rest,
    lastSyncSeconds: lastSyncSeconds === 0 ? null : lastSyncSeconds,
    peers,
    refused: { ...refused },
    refusals: [...view.refusals(REFUSALS_SHOWN)],
  };
}

function flows(
  view: ApiView,
  recorder: Recorder,
  drops: readonly DropCount[],
): Pick<Status, 'tx' | 'rx'> {
  const now = totals(view, drops);
  const flow = (direction: 'tx' | 'rx'): Flow => {
    const [packets, bytes, dropped] = [
      now[`${direction}Packets`],
      now[`${direction}Bytes`],
      now[`${direction}Drops`],
    ];
    return {
      packets,
      bytes,
      datagrams: sumOf(view, direction, counters.DATAGRAMS),
      dropped,
      packetsPerSecond: recorder.rateOf(`${direction}Packets`, packets),
      bytesPerSecond: recorder.rateOf(`${direction}Bytes`, bytes),
      droppedPerSecond: recorder.rateOf(`${direction}Drops`, dropped),
    };
  };
  return { tx: flow('tx'), rx: flow('rx') };
}
