/**
 * Writes to stdout and waits until it is taken: the process ends by process.exit, which would cut
 * off what a slow reader has not taken yet. A reader that has gone (`weft peers | head`) is none of
 * our business.
 */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') resolve();
      else reject(error);
    };
    process.stdout.once('error', failed);
    process.stdout.write(text, (error) => {
      if (error) return;
      process.stdout.off('error', failed);
      resolve();
    });
  });
}
