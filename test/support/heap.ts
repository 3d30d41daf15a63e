/** Whether work leaves anything on the heap: read in stretches, so that collections hide little. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface HeapUse {
  /** Bytes that stretches left behind, all together: garbage too. */
  readonly left: number;
  /** Bytes that stayed after a collection. */
  readonly kept: number;
}

/**
 * Runs `stretch` so many times, in three parts of which the best counts, and reads the heap after
 * each. What a stretch leaves behind stays visible until V8 collects it: make it leave less than a
 * tenth of a young generation's 16 MB.
 */
export function measureHeap(stretches: number, stretch: () => void): HeapUse {
  // V8 itself keeps something now and then (feedback, code compiled again); a leak comes each time.
  const thirds = [0, 1, 2].map((third) => Math.floor((stretches + third) / 3));
  const uses = thirds.map((some) => measureOnce(some, stretch));
  return {
    left: Math.min(...uses.map(({ left }) => left)),
    kept: Math.min(...uses.map(({ kept }) => kept)),
  };
}

function measureOnce(stretches: number, stretch: () => void): HeapUse {
  const collect = forcedCollection();
  collect();
  const before = process.memoryUsage().heapUsed;
  let last = before;
  let left = 0;
  for (let done = 0; done < stretches; done++) {
    stretch();
    const now = process.memoryUsage().heapUsed;
    if (now > last) left += now - last;
    last = now;
  }
  collect();
  return { left, kept: process.memoryUsage().heapUsed - before };
}

function forcedCollection(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
