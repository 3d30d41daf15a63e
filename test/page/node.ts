/**
 * A node made of numbers behind weft's real HTTP server, API and page: for states that a network
 * of two cannot have, such as five thousand peers.
 */
import { createApi } from '../../src/api/router.ts';
import type { ApiView, PeerView } from '../../src/api/view.ts';
import * as slots from '../../src/dataplane/counters.ts';
import { type HttpServer, serveHttp } from '../../src/observe/http.ts';
import { PAGE_FOLDER, serveFiles } from '../../src/observe/static-files.ts';
import { apiView } from '../api/view.ts';

export interface Shown {
  readonly url: string;
  stop(): void;
}

/** Serves the page for this view; `port` 0 takes a free one. */
export async function showNode(rest: Partial<ApiView>, port = 0): Promise<Shown> {
  const api = createApi(apiView(rest));
  const server: HttpServer = await serveHttp({
    ...{ host: '127.0.0.1', port, metrics: { text: async () => '', contentType: 'text/plain' } },
    ...{ unhealthy: () => [], notReady: () => [] },
    mounted: [api.handle, serveFiles(PAGE_FOLDER)],
  });
  return {
    url: `http://127.0.0.1:${server.port}/`,
    stop: () => {
      api.stop();
      server.close();
    },
  };
}

/** Peers that all do well, but for those that `change` says otherwise of, by number. */
export function peersOf(
  count: number,
  change: (index: number) => Partial<PeerView> = () => ({}),
): PeerView[] {
  const now = Date.now() / 1000;
  return Array.from({ length: count }, (_, index): PeerView => {
    const [high, low] = [index >> 8, index & 255];
    const probe = { roundTripMs: 0.2 + (index % 40) / 50, lossRatio: 0, sent: 50 };
    return {
      subnet: `10.${64 + high}.${low}.0/24`,
      publicAddress: `192.0.${2 + high}.${low}`,
      backendType: 'udp',
      ...{ txPackets: 1000 * index, txBytes: 1_000_000 * index, txDrops: 0 },
      ...{ rxPackets: 900 * index, rxBytes: 800_000 * index, rxDrops: 0 },
      ...{ lastSeenSeconds: now, pathMtu: 1500 },
      probe: { ...probe, lastAnswerSeconds: now },
      ...change(index),
    };
  });
}

/** Counters of one worker each way, and traffic that may be added to them. */
export function traffic(): {
  counters: slots.PumpCounters[];
  carry(direction: 'tx' | 'rx', packets: number): void;
  lose(direction: 'tx' | 'rx', slot: number, packets: number): void;
} {
  const counters = (['tx', 'rx'] as const).map((direction) => ({
    direction,
    worker: 0,
    values: new Float64Array(slots.BLOCK_SLOTS),
  }));
  const values = (direction: 'tx' | 'rx') => counters[direction === 'tx' ? 0 : 1]!.values;
  return {
    counters,
    carry: (direction, packets) => {
      values(direction)[slots.PACKETS]! += packets;
      values(direction)[slots.INNER_BYTES]! += packets * 1400;
    },
    lose: (direction, slot, packets) => {
      values(direction)[slot]! += packets;
    },
  };
}
