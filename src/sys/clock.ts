import { libc } from './binding.ts';
import { CLOCK_MONOTONIC } from './constants.ts';
import { type Layout, type Slab, viewOf } from './memory.ts';
import { TIMESPEC_NANOSECONDS, TIMESPEC_SECONDS, TIMESPEC_SIZE } from './struct.ts';

/**
 * Microseconds of CLOCK_MONOTONIC (clock_gettime(2)) within a window of 1,000 s, so that they stay
 * a small integer and a reading allocates nothing: enough to measure a short wait. A difference
 * below 0 means that the window has begun again in between.
 */
export type Microseconds = () => number;

export function createMicroseconds(slab: Slab, layout: Layout): Microseconds {
  const at = layout.take(TIMESPEC_SIZE, 16);
  const view = viewOf(slab, at, TIMESPEC_SIZE);
  const { words } = slab;
  return () => {
    libc.clock_gettime(CLOCK_MONOTONIC, view);
    const seconds = words[(at + TIMESPEC_SECONDS) >> 2] % 1000;
    return seconds * 1_000_000 + ((words[(at + TIMESPEC_NANOSECONDS) >> 2] / 1000) | 0);
  };
}
