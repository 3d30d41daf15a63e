import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { assert } from '../assert.ts';
import type { NetworkConfig, NetworkReading } from './network.ts';
import type { LeaseSource } from './source.ts';

/** flannel asks once a second for ever; a config that is late is often minutes late. */
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 10_000;

export interface AwaitConfigOptions {
  /** Hears why there is none yet, each time that changes; for readiness. */
  readonly waiting?: (reason: string) => void;
  /** For tests. */
  readonly pausesMs?: { readonly first: number; readonly last: number };
}

/**
 * Asks a source that has one for the network config, until it is there and without fault. What is
 * wrong is logged once, all faults in one line, and again only when it is something else.
 * @throws the signal's reason, once it is aborted
 */
export async function awaitNetworkConfig(
  source: LeaseSource,
  log: Logger,
  signal: AbortSignal,
  { waiting, pausesMs }: AwaitConfigOptions = {},
): Promise<NetworkConfig> {
  const { first, last } = pausesMs ?? { first: FIRST_PAUSE_MS, last: LAST_PAUSE_MS };
  let said = '';
  for (let length = first; ; length = Math.min(2 * length, last)) {
    signal.throwIfAborted();
    assert(source.config !== undefined, `${source.name} has no network config`);
    const reading = await source.config();
    signal.throwIfAborted();
    if (reading.kind === 'config') {
      if (said !== '') log.info({ source: source.name }, 'the network config is in');
      return reading.config;
    }
    const { kind, sentence } = explain(source.name, reading);
    // The words of one and the same trouble may differ from try to try; its kind does not.
    const news = reading.kind === 'bad' ? sentence : kind;
    if (news !== said) {
      log.warn({ source: source.name }, `${sentence}; waiting for it`);
      waiting?.(sentence);
      // A new trouble is often a step of somebody who is at work on it.
      length = first;
    }
    said = news;
    await pause(length * (0.5 + Math.random() / 2), null, { signal }).catch(() => null);
  }
}

function explain(
  name: string,
  reading: Exclude<NetworkReading, { kind: 'config' }>,
): { kind: string; sentence: string } {
  const { kind } = reading;
  if (kind === 'missing') {
    return {
      kind,
      sentence: `there is no network config at ${reading.where}: put flannel's there`,
    };
  }
  if (kind === 'bad') {
    const faults = reading.faults.join('; ');
    return { kind, sentence: `the network config at ${reading.where} cannot be used: ${faults}` };
  }
  return { kind, sentence: `the network config cannot be read from ${name}: ${reading.reason}` };
}
