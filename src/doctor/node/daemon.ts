import { type Check, fine, wrong } from '../check.ts';

/** Whether weft runs, forwards, and hears of leases. */
export const daemonCheck: Check = {
  name: 'weft',
  look: async ({ status }) => {
    if (status === null) {
      return [
        wrong(
          'no weft answers on its socket',
          'without it no packet leaves this node for another',
          'weft run (or weft dataplane); systemctl status weft; --api-socket names another socket',
        ),
      ];
    }
    const { health, leaseSource } = status;
    const troubles = [...health.notReady, ...health.hanging].map((reason) =>
      wrong(reason, 'weft is not ready: packets may not pass', 'see its log, and weft status'),
    );
    const { name, state, reason, peers } = leaseSource;
    const leases =
      state === 'synced'
        ? fine(`leases from ${name} are current, ${peers} peers`)
        : wrong(
            `leases from ${name} are ${state}: ${reason}`,
            'nodes that come, go or move are not heard of',
            `see to ${name}`,
          );
    const ready = troubles.length === 0 ? [fine(`weft ${status.version} is ready`)] : troubles;
    return [...ready, leases];
  },
};
