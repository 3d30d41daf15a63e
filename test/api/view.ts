/** A node that only says what it was told: the API's view without a packet path. */

import type { ApiView, PeerView } from '../../src/api/view.ts';
import { BLOCK_SLOTS } from '../../src/dataplane/counters.ts';
import type { PumpView } from '../../src/observe/node-metrics.ts';

export function pump(direction: 'tx' | 'rx', rest: Partial<PumpView> = {}): PumpView {
  return {
    worker: 0,
    direction,
    heartbeatAgeSeconds: 0,
    hangsSeconds: 0,
    cpuSeconds: 0,
    features: [],
    lowered: [],
    socketBufferBytes: 4_194_304,
    ...rest,
  };
}

export function peer(index: number, rest: Partial<PeerView> = {}): PeerView {
  return {
    subnet: `10.244.${index}.0/24`,
    publicAddress: `192.0.2.${index}`,
    backendType: '',
    ...rest,
  };
}

/** Node 1 of 10.244.0.0/16 with one worker each way, and node 2 as its peer. */
export function apiView(rest: Partial<ApiView> = {}): ApiView {
  const block = (direction: 'tx' | 'rx') => {
    return { worker: 0, direction, values: new Float64Array(BLOCK_SLOTS) };
  };
  return {
    command: 'dataplane',
    version: '1.2.3',
    accept: 'strict',
    featureNames: ['tun_vnet_hdr', 'tun_uso', 'udp_gso'],
    disabledFeatures: [],
    device: () => ({ name: 'flannel0', up: true, mtu: 1472, address: '10.244.1.0' }),
    underlay: () => ({
      name: 'eth0',
      mtu: 1500,
      address: '192.0.2.1',
      publicAddress: '192.0.2.1',
      port: 8285,
      reason: 'default route',
    }),
    lease: () => ({
      network: '10.244.0.0/16',
      subnet: '10.244.1.0/24',
      publicAddress: '192.0.2.1',
      origin: 'a test',
      sinceSeconds: 1,
      renewedSeconds: null,
      expiresSeconds: null,
      lost: null,
    }),
    pumps: () => [pump('tx'), pump('rx')],
    counters: [block('tx'), block('rx')],
    tunQueueDrops: () => 0,
    kernelCounts: () => new Map(),
    leaseSourceName: 'file leases.json',
    leaseStatus: () => {
      return { state: 'synced', reason: '', lastSyncSeconds: 5, resyncs: 0, failures: 0 };
    },
    leaseCounts: () => ({ peers: 1, refused: { bad_key: 0 } }),
    refusals: () => [],
    peers: () => [peer(2)],
    probeOff: () => 'no probe in a test',
    networkConfig: () => null,
    notReady: () => [],
    route: async (destination) => {
      return { type: 'unicast', device: destination.startsWith('10.244.') ? 'flannel0' : 'eth0' };
    },
    config: () => [],
    ...rest,
  };
}
