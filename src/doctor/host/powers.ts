import { closeSync, openSync } from 'node:fs';
import { type Check, type Finding, fine, type Subject, unknown, wrong } from '../check.ts';

const TUN = '/dev/net/tun';

/** What weft cannot start without: the TUN driver, and leave to configure the network. */
export const powersCheck: Check = {
  name: 'powers',
  look: async (subject) => [device(subject), capability(subject)],
};

/** A weft that runs has what it needs, whatever this command finds where it was started. */
function device(subject: Subject): Finding {
  if (subject.status !== null) return fine('weft runs, and has what it needed');
  const found = tun();
  if (found.outcome === 'fine') return found;
  return subject.privileged
    ? { ...found, cause: 'powers' }
    : { ...unknown(found.what, found.cure), follows: ['rights'] };
}

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

/** As root without it: in a container that was given too little. Others never had it. */
function capability({ privileged, status }: Subject): Finding {
  if (privileged) return fine('CAP_NET_ADMIN is held');
  if (status === null && process.geteuid?.() === 0) {
    return {
      ...wrong(
        'CAP_NET_ADMIN is not held by whoever runs this',
        'device, address and route need it, and large socket buffers too',
        'systemd: AmbientCapabilities=CAP_NET_ADMIN; docker: --cap-add NET_ADMIN',
      ),
      cause: 'powers',
    };
  }
  const what = 'not all was looked at: that needs root (CAP_NET_ADMIN)';
  return { ...unknown(what, 'sudo weft doctor'), cause: 'rights' };
}
