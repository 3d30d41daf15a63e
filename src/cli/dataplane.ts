import { Dataplane } from '../agent/dataplane.ts';
import { createApi } from '../api/router.ts';
import { serveSocket } from '../api/server.ts';
import type { DescribedOption } from '../config/describe.ts';
import type { Config } from '../config.ts';
import { createLog, type Logger } from '../log.ts';
import { serveHttp } from '../observe/http.ts';
import { createMetrics, unhealthyPumps } from '../observe/metrics.ts';
import { apiView } from './api-view.ts';
import { daemonCommand } from './arguments.ts';
import { readVersions } from './build.ts';
import { EXIT, tell } from './exit.ts';

export const dataplaneCommand = daemonCommand(
  {
    name: 'dataplane',
    summary: 'forward packets between flannel0 and UDP',
    description:
      "Forwards packets between the TUN device flannel0 and UDP, as flannel's udp backend does.\n" +
      'Runs beside any control agent: it needs a source of leases and its own subnet.',
    examples: `  weft dataplane                     beside an agent that writes subnet.env
  weft dataplane --etcd-endpoints http://10.0.0.1:2379,http://10.0.0.2:2379
  weft dataplane --network 10.244.0.0/16 --subnet 10.244.1.0/24 --leases leases.json
      with leases.json like {"10.244.2.0-24": {"PublicIP": "192.0.2.2"}}`,
  },
  runDataplane,
);

/**
 * Runs `weft dataplane` until a signal or a fault; the latter is thrown.
 * @param options the same configuration in words, for the API
 */
async function runDataplane(config: Config, options: readonly DescribedOption[]): Promise<number> {
  const { log, writeErrors } = createLog({ level: config.logLevel, format: config.logFormat });
  const dataplane = new Dataplane(config, log);
  const metrics = createMetrics({
    view: dataplane,
    build: readVersions(),
    logWriteErrors: writeErrors,
  });
  const { version } = readVersions();
  const api = createApi(apiView(dataplane, { command: 'dataplane', version, config, options }));
  // First of all, so that a start that takes long can be watched, and a second weft is told apart.
  const server = await serveHttp({
    ...config.metricsListen,
    metrics: () => metrics.text(),
    contentType: metrics.contentType,
    unhealthy: () => unhealthyPumps(dataplane.pumps()),
    notReady: () => dataplane.notReady(),
    mounted: api.handle,
  });
  const socket = config.apiSocket === 'none' ? undefined : await serveSocket(config.apiSocket, api);
  const signals = listenForSignals(log);
  try {
    await dataplane.live(signals.ordered);
    log.info('stopped');
    return EXIT.ordered;
  } catch (error) {
    log.fatal((error as Error).message);
    throw error;
  } finally {
    signals.stop();
    metrics.stop();
    api.stop();
    server.close();
    socket?.close();
  }
}

/** The first signal asks for an ordered end; the second does not wait for it. */
function listenForSignals(log: Logger): { ordered: AbortSignal; stop(): void } {
  const ordered = new AbortController();
  const names = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  const heard = (name: NodeJS.Signals) => {
    if (ordered.signal.aborted) {
      tell(`${name} again: killed before the end was in order`);
      // process.exit would wait for threads that hang in a system call.
      process.kill(process.pid, 'SIGKILL');
    }
    log.info(`${name}: stopping`);
    ordered.abort(new Error(name));
  };
  for (const name of names) process.on(name, heard);
  return {
    ordered: ordered.signal,
    stop: () => {
      for (const name of names) process.off(name, heard);
    },
  };
}
