import type { Pool } from '../../dataplane/pool.ts';
import type { Logger } from '../../log.ts';
import { whileMoving } from '../../progress/patience.ts';
import { Fault } from '../fault.ts';

/**
 * Waits for the pumps as long as they get on: a busy machine starts threads slowly.
 * @throws Fault that names the queue or socket that could not be had, or the thread that hangs
 */
export async function pumpsUp(
  { ready, awaited }: Pick<Pool, 'ready' | 'awaited'>,
  log: Pick<Logger, 'warn'>,
): Promise<void> {
  const tell = (sentence: string) => log.warn(sentence);
  const wait = { what: 'the packet workers to come up', awaited, tell };
  const still = await whileMoving(ready.catch(refused), wait);
  if (still.length === 0) return;
  throw new Fault('hang', `the packet workers do not come up: ${still.join('; ')}`);
}

function refused(error: Error): never {
  throw new Fault('environment', error.message);
}
