import { Dataplane } from '../agent/dataplane.ts';
import type { Config } from '../config.ts';
import { createLog, type Logger } from '../log.ts';
import { serveHttp } from '../observe/http.ts';
import { createMetrics, unhealthyPumps } from '../observe/metrics.ts';
import { readVersions } from './build.ts';
import { EXIT, tell } from './exit.ts';

/** Runs `weft dataplane` until a signal or a fault; the latter is thrown. */
export async function runDataplane(config: Config): Promise<number> {
  const { log, writeErrors } = createLog({ level: config.logLevel, format: config.logFormat });
  const dataplane = new Dataplane(config, log);
  const metrics = createMetrics({
    view: dataplane,
    build: readVersions(),
    logWriteErrors: writeErrors,
  });
  // First of all, so that a start that takes long can be watched, and a second weft is told apart.
  const server = await serveHttp({
    ...config.metricsListen,
    metrics: () => metrics.text(),
    contentType: metrics.contentType,
    unhealthy: () => unhealthyPumps(dataplane.pumps()),
    notReady: () => dataplane.notReady(),
  });
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
    server.close();
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
