/** How often a test repeats itself: in full, or in the short form that `make quick` asks for. */
const QUICK_SHARE = 20;

/** So many rounds of `full`, a twentieth of them where TEST_QUICK is set. */
export function rounds(full: number): number {
  return process.env.TEST_QUICK === '1' ? Math.ceil(full / QUICK_SHARE) : full;
}
