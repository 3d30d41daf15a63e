import { availableParallelism } from 'node:os';
import { Fault } from '../agent/fault.ts';
import { watchPathMtus } from '../agent/node/path-mtu.ts';
import { chooseWorkers } from '../agent/node/settings.ts';
import type { Observed } from '../agent/observed.ts';
import { type Api, createApi } from '../api/router.ts';
import { serveSocket } from '../api/server.ts';
import { createStreams } from '../api/stream/serve.ts';
import type { DescribedOption } from '../config/describe.ts';
import type { Daemon } from '../config/options.ts';
import type { Config } from '../config.ts';
import { ErrorBoundary } from '../http/boundary.ts';
import { commandRunner } from '../linux/command.ts';
import { createLog, type Logger } from '../log.ts';
import { serveHttp } from '../observe/http.ts';
import { createMetrics, type MetricsOptions, unhealthyPumps } from '../observe/metrics.ts';
import { PAGE_FOLDER, serveFiles } from '../observe/static-files.ts';
import { startOverlayProbe } from '../probe/overlay.ts';
import { type Announcement, announce } from '../systemd/announce.ts';
import { createWatch } from '../watch/watch.ts';
import { apiView, probeDevice, probeTargets } from './api-view.ts';
import { EXIT } from './exit.ts';
import { tell } from './format/print.ts';
import { judgeOpenFiles, openFileLimit } from './start/resource-limits.ts';
import { readVersions } from './start/versions.ts';

/** One long-lived command as it was given. */
export interface Order {
  readonly command: Daemon;
  readonly config: Config;
  /** The same configuration in words, for the API. */
  readonly options: readonly DescribedOption[];
  /** What was given and has no effect, one sentence each. */
  readonly warnings: readonly string[];
}

/** A long-lived part of weft, as its command sees it. */
export interface Served {
  readonly node: Observed;
  /** Of its own, beside those that every life of weft has. */
  readonly metrics?: MetricsOptions['more'];
  /** Lives until the signal or a fault, which it throws. */
  live(signal: AbortSignal): Promise<void>;
  /** SIGHUP: reads its settings again. Without it SIGHUP ends the process as SIGTERM does. */
  reload?(): void;
}

/**
 * Runs one part of weft with its log, metrics, health and API until a signal or a fault; the
 * latter is thrown.
 */
export async function serve(
  order: Order,
  make: (config: Config, log: Logger) => Served,
): Promise<number> {
  const { config } = order;
  const logging = createLog({ level: config.logLevel, format: config.logFormat });
  const { log } = logging;
  for (const warning of order.warnings) log.warn(warning);
  requireOpenFiles(order, log);
  const served = make(config, log);
  // First of all, so that a start that takes long can be watched, and a second weft is told apart.
  const signals = listenForSignals(log, served.reload?.bind(served));
  const close = await listen(order, served, logging).catch((error) => {
    signals.stop();
    throw error;
  });
  const announcement = announceTo(served, log);
  signals.ordered.addEventListener('abort', () => announcement.stopping());
  try {
    await served.live(signals.ordered);
    log.info('stopped');
    return EXIT.ordered;
  } catch (error) {
    log.fatal((error as Error).message);
    throw error;
  } finally {
    announcement.close();
    signals.stop();
    close();
  }
}

/** Too few would end the process somewhere on the way, with half of it set up. */
function requireOpenFiles({ command, config }: Order, log: Logger): void {
  const { count } = chooseWorkers(config.workers, availableParallelism());
  const judged = judgeOpenFiles(openFileLimit(), command === 'agent' ? 0 : count);
  if (judged.verdict === 'few') log.warn(judged.why);
  if (judged.verdict !== 'too few') return;
  log.fatal(judged.why);
  throw new Fault('environment', judged.why);
}

/** To systemd we live while every thread turns: not to be ready is no reason to be killed. */
function announceTo({ node }: Served, log: Logger): Announcement {
  return announce({
    environment: process.env,
    notReady: () => node.notReady(),
    healthy: () => hangingPumps(node).length === 0,
    trouble: (sentence) => log.warn(sentence),
  });
}

const hangingPumps = ({ forwarder }: Observed) => unhealthyPumps(forwarder?.pumps() ?? []);

/** Serves on --metrics-listen, beside it where flannel would, and on the socket of the API. */
async function listen(
  { command, config, options }: Order,
  { node, metrics: more = [] }: Served,
  { log, writeErrors: logWriteErrors }: ReturnType<typeof createLog>,
): Promise<() => void> {
  const build = readVersions();
  const probe = startOverlayProbe({
    everySeconds: config.probeInterval,
    device: () => probeDevice(node),
    targets: () => probeTargets(node),
    log,
  });
  const pathMtus = watchPathMtus({ run: commandRunner(), log });
  const shown = { command, version: build.version, config, options, probe, pathMtus };
  const view = apiView(node, shown);
  const peers = { limit: config.metricsPeers, read: view.peers };
  const trouble = (sentence: string) => log.error(sentence);
  const looking = new ErrorBoundary(trouble);
  const metrics = createMetrics({
    view: node,
    ...(node.forwarder && { packets: node.forwarder }),
    ...{ more, build, logWriteErrors, peers },
    failed: (error) => looking.tell('a sample of the workers', error),
  });
  const api = createApi(view, trouble);
  const watch = createWatch(() => node.forwarder?.taps);
  const streams = createStreams(view, watch, (sentence) => log.info(sentence), trouble);
  const answers = {
    metrics: { text: () => metrics.text(), contentType: metrics.contentType },
    unhealthy: () => hangingPumps(node),
    notReady: () => node.notReady(),
    mounted: [api.handle, serveFiles(PAGE_FOLDER, (sentence) => log.warn(sentence))],
    trouble,
    allowedHosts: config.allowedHosts,
  };
  const stops = [metrics.stop, api.stop, streams.stop];
  const open: { close(): void }[] = [probe, pathMtus, ...stops.map((close) => ({ close }))];
  const onSocket: Api['handle'] = (request, response) =>
    streams.handle(request, response) || api.handle(request, response);
  const close = () => {
    for (const each of open) each.close();
  };
  const { healthzAddress: host, healthzPort: port } = config;
  try {
    open.push(await serveHttp({ ...config.metricsListen, ...answers }));
    // flanneld's flag serves health to the whole network by default, and nothing else.
    const { metrics: _, mounted: __, ...healthOnly } = answers;
    const option = '--healthz-ip and --healthz-port';
    if (port !== 0) open.push(await serveHttp({ host, port, option, ...healthOnly }));
    if (config.apiSocket !== 'none') {
      open.push(await serveSocket(config.apiSocket, { handle: onSocket }, trouble));
    }
  } catch (error) {
    close();
    throw error;
  }
  return close;
}

/** The first signal asks for an ordered end; the second does not wait for it. */
function listenForSignals(
  log: Logger,
  reload: (() => void) | undefined,
): { ordered: AbortSignal; stop(): void } {
  const ordered = new AbortController();
  const heard = (name: NodeJS.Signals) => {
    if (name === 'SIGHUP' && reload !== undefined) return reload();
    if (ordered.signal.aborted) {
      tell(`${name} again: killed before the end was in order`);
      // process.exit would wait for threads that hang in a system call.
      process.kill(process.pid, 'SIGKILL');
    }
    log.info(`${name}: stopping`);
    ordered.abort(new Error(name));
  };
  const names = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const name of names) process.on(name, heard);
  return {
    ordered: ordered.signal,
    stop: () => {
      for (const name of names) process.off(name, heard);
    },
  };
}
