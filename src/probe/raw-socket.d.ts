/** The parts of raw-socket 1.8 that are used here; the package brings no types. */
declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  interface Socket extends EventEmitter {
    send(
      buffer: Buffer,
      offset: number,
      length: number,
      address: string,
      after: (error: Error | null, bytes: number) => void,
    ): this;
    setOption(level: number, option: number, value: number): void;
    setOption(level: number, option: number, value: Buffer, length: number): void;
    close(): this;
  }

  const raw: {
    createSocket(options: { protocol: number; bufferSize: number }): Socket;
    readonly Protocol: { readonly ICMP: number };
  };
  export default raw;
}
