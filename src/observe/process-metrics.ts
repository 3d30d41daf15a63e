import { readdirSync } from 'node:fs';
import { counter, gauge, type ReadMetric, single } from './exposition.ts';

const MICROSECONDS = 1e-6;

/**
 * The process as Prometheus' clients describe it. prom-client's own set is not used: it wakes an
 * idle process many times a second to measure the event loop, which no packet ever waits for.
 */
export function processMetrics(): ReadMetric[] {
  const started = Date.now() / 1000 - process.uptime();
  return [
    counter(
      'weft_process_cpu_seconds_total',
      'CPU time of the whole process, workers included',
      () => {
        const { user, system } = process.cpuUsage();
        return single((user + system) * MICROSECONDS);
      },
    ),
    gauge(
      'weft_process_start_time_seconds',
      'Unix time of the start',
      () => single(started),
      'young, and nobody restarted it: the log of the run before says why it ended',
    ),
    gauge('weft_process_resident_memory_bytes', 'Memory of the process that is in RAM', () =>
      single(process.memoryUsage.rss()),
    ),
    gauge(
      'weft_process_heap_used_bytes',
      "JavaScript heap of the main thread, without the workers'",
      () => single(process.memoryUsage().heapUsed),
    ),
    gauge('weft_process_open_fds', 'Open file descriptors', () =>
      single(readdirSync('/proc/self/fd').length),
    ),
  ];
}
