import { type Check, type Finding, type Subject, unknown } from './check.ts';
import { fold } from './fold.ts';
import { conntrackCheck } from './host/conntrack.ts';
import { kernelCheck } from './host/kernel.ts';
import { offloadsCheck } from './host/offloads.ts';
import { powersCheck } from './host/powers.ts';
import { sysctlsCheck } from './host/sysctls.ts';
import { buffersCheck } from './node/buffers.ts';
import { clockCheck } from './node/clock.ts';
import { daemonCheck } from './node/daemon.ts';
import { twinsCheck } from './node/twins.ts';
import { firewallCheck } from './way/firewall.ts';
import { mtuCheck } from './way/mtu.ts';
import { reachCheck } from './way/reach.ts';
import { routeCheck } from './way/route.ts';

/** In the order in which one trouble explains the next. */
export const CHECKS: readonly Check[] = [
  powersCheck,
  kernelCheck,
  daemonCheck,
  sysctlsCheck,
  routeCheck,
  mtuCheck,
  firewallCheck,
  twinsCheck,
  reachCheck,
  clockCheck,
  conntrackCheck,
  buffersCheck,
  offloadsCheck,
];

/** All that one check found. */
export interface Examined {
  readonly check: string;
  readonly findings: readonly Finding[];
}

/**
 * Looks at everything; a check that cannot look says so, and the others go on. One cause makes one
 * finding, however many checks notice it.
 */
export async function examine(
  subject: Subject,
  checks: readonly Check[] = CHECKS,
): Promise<Examined[]> {
  const examined = await Promise.all(
    checks.map(async ({ name, look }) => {
      try {
        return { check: name, findings: await look(subject) };
      } catch (error) {
        const what = `could not look: ${(error as Error).message}`;
        return { check: name, findings: [unknown(what, 'run as root, with iproute2 installed')] };
      }
    }),
  );
  return fold(examined);
}
