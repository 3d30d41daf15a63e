import type { Status } from '../../api/schema.ts';
import { type Check, type Finding, fine, type Subject, unknown, wrong } from '../check.ts';

/** Whether weft runs, forwards, and hears of leases. */
export const daemonCheck: Check = {
  name: 'weft',
  look: async ({ status, unanswered }) => {
    if (status === null) return [silence(unanswered)];
    const { health, leaseSource } = status;
    const down = status.device !== null && !status.device.up;
    const troubles = [...health.notReady, ...health.hanging].map((reason): Finding => {
      const why = 'weft is not ready: packets may not pass';
      const finding = wrong(reason, why, 'see its log, and weft status');
      // What of the node's own does not turn, or is not there, is behind what others notice.
      const stands = down || status.lease === null || health.hanging.includes(reason);
      return stands ? { ...finding, cause: 'device' } : finding;
    });
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
    return [...ready, leases, ...aboutConfig(status)];
  },
};

/** A socket that this user may not open says nothing of who is behind it. */
function silence(unanswered: Subject['unanswered']): Finding {
  if (unanswered === 'forbidden') {
    const what = 'whether weft runs is not known: its socket is for root and its group alone';
    return { ...unknown(what, 'sudo weft doctor'), cause: 'weft', follows: ['rights'] };
  }
  const answers = unanswered === 'broken' ? 'weft gives no proper answer' : 'no weft answers';
  return {
    ...wrong(
      `${answers} on its socket`,
      'without it no packet leaves this node for another',
      'weft run (or weft dataplane); systemctl status weft; --api-socket names another socket',
    ),
    cause: 'weft',
    follows: ['powers'],
  };
}

/** What the store says and what the node goes by. */
function aboutConfig({ networkConfig }: Status): Finding[] {
  if (networkConfig === null || networkConfig.inForce === null) return [];
  if (networkConfig.inForce) return [fine('the network config in the store is in force')];
  return [
    wrong(
      networkConfig.reason,
      'nodes that go by different network configs do not reach each other',
      'see that the config in the store is the one you want, then systemctl reload weft (SIGHUP)',
    ),
  ];
}
