/** The page's only source: the API under /v1/, on the address that the page itself came from. */
import type { History, Peer, Peers, Status } from '../api/schema.ts';

/** One ask for peers; the server sorts and filters. */
export interface PeersWish {
  readonly sort: string;
  readonly filter: string;
  readonly limit: number;
}

/** Longer than any answer takes; then the daemon counts as gone. */
const PATIENCE_MS = 4_000;

async function ask<Answer>(path: string): Promise<Answer> {
  const answer = await fetch(path, {
    signal: AbortSignal.timeout(PATIENCE_MS),
    headers: { Accept: 'application/json' },
    cache: 'no-store',
  });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return (await answer.json()) as Answer;
}

export const askStatus = (): Promise<Status> => ask('/v1/status');
export const askHistory = (): Promise<History> => ask('/v1/history');

export function askPeers({ sort, filter, limit }: PeersWish): Promise<Peers> {
  const wish = new URLSearchParams({ sort, limit: String(limit) });
  if (filter !== '') wish.set('filter', filter);
  return ask(`/v1/peers?${wish}`);
}

/** What the topology and the findings look at: the busiest peers and the worst. */
export async function askNotable(busiest: number, worst: number): Promise<Notable> {
  const [busy, lossy, unseen] = await Promise.all([
    askPeers({ sort: '-tx-rate', filter: '', limit: busiest }),
    askPeers({ sort: '-loss', filter: '', limit: worst }),
    askPeers({ sort: 'seen', filter: '', limit: worst }),
  ]);
  const bySubnet = new Map<string, Peer>();
  for (const peer of [...lossy.peers, ...unseen.peers, ...busy.peers]) {
    bySubnet.set(peer.subnet, peer);
  }
  return { total: busy.total, peers: [...bySubnet.values()] };
}

export interface Notable {
  readonly total: number;
  readonly peers: readonly Peer[];
}
