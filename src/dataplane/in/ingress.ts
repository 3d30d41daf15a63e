/** The way in of a batch: admitted packets to the TUN, each refusal of the kernel counted. */
import { EAGAIN, EBADFD, EIO, ENOBUFS, ENOMEM } from '../../sys/errno.ts';
import type { TunWriter } from '../../tun/write.ts';
import * as counters from '../counters.ts';

export interface Ingress {
  /** Writes one packet as it came. */
  deliver(at: number, length: number): void;
  /** Whether the device has gone. */
  gone(): boolean;
}

export function createIngress(writer: TunWriter, block: Float64Array): Ingress {
  let deleted = false;

  function deliver(at: number, length: number): void {
    const code = writer.writePacket(at, length);
    if (code === 0) {
      block[counters.CALL_WRITEV + counters.CALL_OK]++;
      block[counters.PACKETS]++;
      block[counters.INNER_BYTES] += length;
      return;
    }
    refused(code, 1);
  }

  function refused(code: number, packets: number): void {
    const again = code === EAGAIN || code === ENOBUFS || code === ENOMEM;
    block[counters.CALL_WRITEV + (again ? counters.CALL_AGAIN : counters.CALL_ERROR)]++;
    if (again) block[counters.RX_TUN_FULL] += packets;
    else if (code === EIO) block[counters.RX_TUN_DOWN] += packets;
    else block[counters.RX_TUN_REFUSED] += packets;
    if (code === EBADFD) deleted = true;
  }

  return {
    deliver,
    gone() {
      return deleted;
    },
  };
}
