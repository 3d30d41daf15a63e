import { readdirSync } from 'node:fs';
import { type ReadMetric, single } from './exposition.ts';

const MICROSECONDS = 1e-6;

/**
 * The process as Prometheus' clients describe it. prom-client's own set is not used: it wakes an
 * idle process many times a second to measure the event loop, which no packet ever waits for.
 */
export function processMetrics(): ReadMetric[] {
  const started = Date.now() / 1000 - process.uptime();
  return [
    {
      name: 'weft_process_cpu_seconds_total',
      help: 'CPU time of the whole process, workers included',
      type: 'counter',
      read: () => {
        const { user, system } = process.cpuUsage();
        return single((user + system) * MICROSECONDS);
      },
    },
    {
      name: 'weft_process_start_time_seconds',
      help: 'Unix time of the start',
      type: 'gauge',
      read: () => single(started),
    },
    {
      name: 'weft_process_resident_memory_bytes',
      help: 'Memory of the process that is in RAM',
      type: 'gauge',
      read: () => single(process.memoryUsage.rss()),
    },
    {
      name: 'weft_process_heap_used_bytes',
      help: "JavaScript heap of the main thread, without the workers'",
      type: 'gauge',
      read: () => single(process.memoryUsage().heapUsed),
    },
    {
      name: 'weft_process_open_fds',
      help: 'Open file descriptors',
      type: 'gauge',
      read: () => single(readdirSync('/proc/self/fd').length),
    },
  ];
}
