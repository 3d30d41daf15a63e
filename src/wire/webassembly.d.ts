/**
 * The little of the WebAssembly JavaScript interface (W3C) that weft uses. TypeScript declares it
 * only in its browser library, which would bring `window` and its kin into scope everywhere.
 */
declare namespace WebAssembly {
  /** Sizes are in pages of 64 KiB. */
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }

  class Module {
    constructor(bytes: Uint8Array);
  }

  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}
