/**
 * What a scrape costs: whole requests over loopback to the real server, for a node without metrics
 * of peers and for one with so many that there are 500 and 5,000 series.
 */
import { performance } from 'node:perf_hooks';
import { serveHttp } from '../src/observe/http.ts';
import { metricsOf } from '../test/support/metrics-view.ts';

export interface ScrapeCost {
  readonly series: number;
  readonly bytes: number;
  readonly medianMs: number;
  readonly worstMs: number;
}

const PEERS = [0, 28, 470];
const WARM_UP = 50;

/** Asks again and again, one request at a time, as Prometheus does. */
export async function measureScrape(peers: number, rounds: number): Promise<ScrapeCost> {
  const metrics = metricsOf({ workers: 4, peers });
  const server = await serveHttp({
    ...{ host: '127.0.0.1', port: 0, unhealthy: () => [], notReady: () => [] },
    metrics: { text: () => metrics.text(), contentType: metrics.contentType },
  });
  const url = `http://127.0.0.1:${server.port}/metrics`;
  const times: number[] = [];
  let text = '';
  for (let round = 0; round < WARM_UP + rounds; round++) {
    const start = performance.now();
    text = await (await fetch(url)).text();
    if (round >= WARM_UP) times.push(performance.now() - start);
  }
  server.close();
  times.sort((a, b) => a - b);
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
  return {
    series,
    bytes: text.length,
    medianMs: times[times.length >> 1]!,
    worstMs: times.at(-1)!,
  };
}

/** Prints one line a size. */
export async function benchScrape(rounds: number, print: (line: string) => void): Promise<void> {
  for (const peers of PEERS) {
    const { series, bytes, medianMs, worstMs } = await measureScrape(peers, rounds);
    print(
      `scrape, ${series} series, ${bytes} bytes`.padEnd(52) +
        `${medianMs.toFixed(2)} ms`.padStart(20) +
        `worst ${worstMs.toFixed(2)} ms`.padStart(21),
    );
  }
}
