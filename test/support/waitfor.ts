/** How long to wait in all, and between two looks, in milliseconds. */
export interface Patience {
  readonly deadline?: number;
  readonly every?: number;
}

/**
 * Looks again and again until `probe` answers something truthy, and hands that back. A probe that
 * throws has not succeeded yet. At the deadline it fails with what was waited for and what was last
 * seen; the deadline only bounds a failure, so make it generous.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  { deadline = 20_000, every = 10 }: Patience = {},
): Promise<NonNullable<T>> {
  const end = performance.now() + deadline;
  let last: unknown;
  do {
    try {
      last = await probe();
      if (last) return last as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  } while (performance.now() < end);
  const seen = last instanceof Error ? `the error ${last.message}` : JSON.stringify(last);
  throw new Error(`waited ${deadline} ms in vain for ${what}; last seen: ${seen}`);
}
