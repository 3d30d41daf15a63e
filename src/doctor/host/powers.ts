import { closeSync, openSync } from 'node:fs';
import { mayConfigureNetwork } from '../../linux/proc.ts';
import { type Check, type Finding, fine, wrong } from '../check.ts';

const TUN = '/dev/net/tun';

/** What weft cannot start without: the TUN driver, and leave to configure the network. */
export const powersCheck: Check = {
  name: 'powers',
  look: async () => [tun(), capability()],
};

/** Opened and closed again: nothing is made until TUNSETIFF. */
function tun(): Finding {
  try {
    closeSync(openSync(TUN, 'r+'));
    return fine(`${TUN} is there and opens`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = 'weft takes packets from the kernel through it';
    if (code === 'ENOENT') {
      const cure = `modprobe tun; in a container hand it in: --device ${TUN}`;
      return wrong(`there is no ${TUN}`, why, cure);
    }
    if (code === 'ENODEV') return wrong(`${TUN} has no driver`, why, 'modprobe tun');
    const cure = 'as root: weft doctor; in a container allow the device 10:200';
    return wrong(`${TUN} does not open: ${code}`, why, cure);
  }
}

function capability(): Finding {
  if (mayConfigureNetwork()) return fine('CAP_NET_ADMIN is held');
  return wrong(
    'CAP_NET_ADMIN is not held by whoever runs this',
    'device, address and route need it, and large socket buffers too',
    'run as root; systemd: AmbientCapabilities=CAP_NET_ADMIN; docker: --cap-add NET_ADMIN',
  );
}
