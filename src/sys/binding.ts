/**
 * Binds the table of calls to the C library of this process through koffi: the only import of
 * native code. A runtime's own FFI can join here; nothing else would change.
 */
import koffi from 'koffi';
import { type Libc, PROTOTYPES } from './libc.ts';

/** Shown by `weft_build_info`. */
export const BINDING = `koffi ${koffi.version}`;

function bind(): Libc {
  const library = koffi.load(null);
  const calls: Record<string, unknown> = {};
  for (const [name, prototype] of Object.entries(PROTOTYPES)) calls[name] = library.func(prototype);
  return calls as unknown as Libc;
}

export const libc: Libc = bind();

/** errno of this thread's last failed call; read it before anything else may make a call. */
export function errno(): number {
  return koffi.errno();
}

/** Where a view's first byte lies; its buffer must never be resized or detached. */
export function addressOf(view: Uint8Array): bigint {
  return koffi.address(view);
}
