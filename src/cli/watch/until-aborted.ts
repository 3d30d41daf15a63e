/**
 * Waits for a slow reader of our output, but not beyond the signal to end: from then on nobody
 * waits for the write, and nobody hears why it failed.
 * @param written resolves to whether the reader wants more
 * @returns the same, and true where the signal came first
 */
export async function untilAborted(
  written: Promise<boolean>,
  signal: AbortSignal,
): Promise<boolean> {
  written.catch(() => {});
  if (signal.aborted) return true;
  let aborted = () => {};
  const asked = new Promise<true>((resolve) => {
    aborted = () => resolve(true);
    signal.addEventListener('abort', aborted, { once: true });
  });
  try {
    return await Promise.race([written, asked]);
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}
