import { type Check, type Finding, fine, noWeft, wrong } from '../check.ts';

/**
 * A burst of one breath is some 2 MB; less room than that and it drops while the worker is away.
 * The kernel reports twice what was asked for (socket(7)).
 */
const LEAST_BYTES = 2 * 1024 * 1024;

const LIMITS = { tx: 'net.core.wmem_max', rx: 'net.core.rmem_max' } as const;

/** Socket buffers that the kernel granted less of than bursts need. */
export const buffersCheck: Check = {
  name: 'buffers',
  look: async ({ status }) => {
    if (status === null) return [noWeft()];
    if (status.workers.length === 0) return [fine('this weft carries no packets')];
    const small = status.workers.filter(({ socketBufferBytes }) => socketBufferBytes < LEAST_BYTES);
    const found = small.map(({ direction, worker, socketBufferBytes }): Finding => {
      return wrong(
        `${direction} worker ${worker} was granted ${socketBufferBytes} bytes of socket buffer`,
        'bursts overflow it: socket_overflow and socket_full',
        `give weft CAP_NET_ADMIN, or sysctl -w ${LIMITS[direction]}=8388608 and start it again`,
      );
    });
    return found.length > 0 ? found : [fine('socket buffers hold a burst')];
  },
};
