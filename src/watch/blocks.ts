/** Cuts a stream of pcapng into whole blocks again, and reads what a summary needs of them. */
import { ENHANCED_PACKET, INTERFACE_STATISTICS, ISB_IFDROP, OPT_END, padded } from './pcapng.ts';

/** A block that claims more is none: a packet has 64 KiB, a comment has as much. */
const MOST_BLOCK_BYTES = 1024 * 1024;
const LEAST_BLOCK_BYTES = 12;

export class BrokenStream extends Error {
  override readonly name = 'BrokenStream';
}

/** What a stream has told so far. */
export interface StreamTotals {
  readonly packets: number;
  readonly bytes: number;
  /** As its last statistics say. */
  readonly lost: number;
  /** The last block was statistics: nothing is missing at its end. */
  readonly closed: boolean;
}

export class BlockCutter {
  private rest: Uint8Array = new Uint8Array(0);
  private packets = 0;
  private bytes = 0;
  private lost = 0;
  private closed = false;

  /**
   * The whole blocks that this piece completes; what is left waits for the next piece.
   * @throws BrokenStream where no pcapng block begins
   */
  take(piece: Uint8Array): Uint8Array {
    const all = this.rest.length === 0 ? piece : Buffer.concat([this.rest, piece]);
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    let at = 0;
    while (at + 8 <= all.length) {
      const length = view.getUint32(at + 4, true);
      if (length < LEAST_BLOCK_BYTES || length > MOST_BLOCK_BYTES || length % 4 !== 0) {
        throw new BrokenStream(`no pcapng: a block of ${length} bytes`);
      }
      if (at + length > all.length) break;
      this.count(new DataView(all.buffer, all.byteOffset + at, length));
      at += length;
    }
    // A copy: the piece itself may be a large buffer's.
    this.rest = all.slice(at);
    this.bytes += at;
    return all.subarray(0, at);
  }

  totals(): StreamTotals {
    const { packets, bytes, lost, closed } = this;
    return { packets, bytes, lost, closed };
  }

  private count(block: DataView): void {
    const type = block.getUint32(0, true);
    this.closed = type === INTERFACE_STATISTICS;
    if (type === ENHANCED_PACKET) this.packets += 1;
    if (this.closed) this.lost = readOption(block, 20, ISB_IFDROP) ?? this.lost;
  }
}

/** A 64-bit option of a block whose options begin at `at`. */
function readOption(block: DataView, at: number, wanted: number): number | undefined {
  for (let next = at; next + 4 <= block.byteLength - 4; ) {
    const code = block.getUint16(next, true);
    const length = block.getUint16(next + 2, true);
    if (code === OPT_END) return undefined;
    if (code === wanted && length === 8 && next + 12 <= block.byteLength) {
      return block.getUint32(next + 4, true) + block.getUint32(next + 8, true) * 2 ** 32;
    }
    next += 4 + padded(length);
  }
  return undefined;
}
