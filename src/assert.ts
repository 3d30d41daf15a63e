/**
 * Stops the process over a mistake of our own. Never for what the world does: a bad packet is
 * counted, a failed call is a SyscallError, a bad option is a ConfigError.
 */
export function assert(condition: boolean, mistake: string): asserts condition {
  if (!condition) throw new Error(`weft made a mistake: ${mistake}. Please report it.`);
}
