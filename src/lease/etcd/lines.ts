import { setTimeout as pause } from 'node:timers/promises';
import { EtcdLine } from './client.ts';
import { EtcdError } from './errors.ts';
import type { EtcdEndpoint, EtcdSettings } from './options.ts';

/** How many times its limit a call may grow to, 30 s as it is set. */
const MOST_PATIENCE = 6;

/**
 * Line after line, on one endpoint after the other, with pauses that grow in between, until `use`
 * answers or the signal comes; then the answer, or undefined. Each line is logged in, and closed
 * when `use` is done with it or the signal comes. `failed` hears of every line that broke; what is
 * no EtcdError is a mistake of ours, which must not be retried for ever in silence.
 */
export async function useLines<T>(
  settings: EtcdSettings,
  signal: AbortSignal,
  use: (line: EtcdLine) => Promise<T>,
  failed: (error: EtcdError) => void,
): Promise<T | undefined> {
  const { endpoints, timing } = settings;
  const { backoffLeast, backoffMost } = timing;
  let { call } = timing;
  // Any one of the endpoints, so that a thousand nodes do not all begin with the same.
  let next = Math.floor(Math.random() * endpoints.length);
  let backoff = backoffLeast;
  while (!signal.aborted) {
    const began = performance.now();
    try {
      const endpoint = endpoints[next % endpoints.length] as EtcdEndpoint;
      next += 1;
      return await useLine({ ...settings, timing: { ...timing, call } }, endpoint, signal, use);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (!signal.aborted) failed(error);
      // It may be slow, or we: the next call gets more time. A dead line is found by keep-alive.
      if (error.kind === 'silent') call = Math.min(2 * call, MOST_PATIENCE * timing.call);
    }
    // A line that held for a while makes the next trouble a new one.
    if (performance.now() - began > 2 * backoffMost) backoff = backoffLeast;
    // Up to half of the pause is left to chance, or all nodes would come back at once.
    await pause(backoff * (0.5 + Math.random() / 2), null, { signal }).catch(() => null);
    backoff = Math.min(2 * backoff, backoffMost);
  }
  return undefined;
}

async function useLine<T>(
  settings: EtcdSettings,
  endpoint: EtcdEndpoint,
  signal: AbortSignal,
  use: (line: EtcdLine) => Promise<T>,
): Promise<T> {
  const line = await EtcdLine.create(settings, endpoint);
  const close = () => line.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    if (signal.aborted) throw new EtcdError('ended', 'stopped');
    await line.login();
    return await use(line);
  } finally {
    signal.removeEventListener('abort', close);
    line.close();
  }
}

/** Runs what others gave us; its mistakes end the process instead of passing for a broken line. */
export function runCallback(work: () => void): void {
  try {
    work();
  } catch (mistake) {
    // Out of gRPC's reach, which would take it for trouble of its own.
    setImmediate(() => {
      throw mistake;
    });
  }
}
