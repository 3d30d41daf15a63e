import type { Logger } from '../log.ts';
import { type Wait, whileMoving } from '../progress/patience.ts';

/**
 * Waits for work to end as long as it gets on; a failure is logged and counts as an end.
 * @returns what stands still instead, a phrase each
 */
export function ended(
  work: Promise<unknown> | undefined,
  wait: Omit<Wait, 'tell'>,
  log: Logger,
): Promise<readonly string[]> {
  const settled = Promise.resolve(work).catch((error: Error) => log.error(error.message));
  return whileMoving(settled, { ...wait, tell: (sentence) => log.warn(sentence) });
}

/** One life from start to end: until it is asked for, or until something fails. */
export interface Life {
  /** Resolves once it runs; may be interrupted by the signal. */
  readonly start: () => Promise<void>;
  /** Takes everything down again, in whatever state it is. */
  readonly stop: () => Promise<void>;
  /** Never resolves; rejects with what it cannot go on with. */
  readonly failed: Promise<never>;
}

/**
 * Lives until the signal (an ordered end) or a fault, which it throws. Everything is down when it
 * returns, whichever way.
 */
export async function live({ start, stop, failed }: Life, signal: AbortSignal): Promise<void> {
  const asked = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  failed.catch(() => {});
  try {
    const started = start();
    await Promise.race([started, failed, asked.then(() => started)]);
    await Promise.race([asked, failed]);
  } catch (error) {
    // Whatever a step says of being interrupted is not a fault.
    if (!signal.aborted) throw error;
  } finally {
    await stop();
  }
}
