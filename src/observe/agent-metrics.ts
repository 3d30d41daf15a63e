import { byLabel, counter, gauge, type ReadMetric, single } from './exposition.ts';

/** What the metrics of a control agent are read from. */
export interface AgentView {
  lease(): {
    readonly lease: unknown;
    readonly secondsLeft: number | null;
    readonly reservation: boolean;
    readonly renewals: number;
    readonly failures: number;
    readonly lost: number;
  };
  /** Undefined until the network config is in. */
  backend():
    | {
        readonly type: string;
        readonly peers: number;
        readonly programmed: number;
        readonly failing: number;
        readonly reconciles: number;
        readonly lastReconcileSeconds: number;
        readonly lastReconcileDurationSeconds: number;
        readonly repairs: number;
      }
    | undefined;
  configInForce(): { readonly inForce: boolean | null };
  firewall():
    | { readonly inForce: boolean; readonly transactions: number; readonly repairs: number }
    | undefined;
}

/** A closed set: what a network config may name. */
const BACKENDS = ['udp', 'vxlan', 'host-gw', 'alloc'];

export function agentMetrics(view: AgentView): ReadMetric[] {
  return [
    configMetric(view),
    ...ownLeaseMetrics(view),
    ...backendMetrics(view),
    ...firewallMetrics(view),
  ];
}

function configMetric(view: AgentView): ReadMetric {
  return gauge(
    'weft_network_config_in_force',
    '1 while the network config in the store is the one in force here; none before it is known',
    () => {
      const { inForce } = view.configInForce();
      return inForce === null ? [] : single(Number(inForce));
    },
    '0: weft status says what differs; SIGHUP takes it over',
  );
}

function ownLeaseMetrics(view: AgentView): ReadMetric[] {
  const read = (value: (status: ReturnType<AgentView['lease']>) => number) => () =>
    single(value(view.lease()));
  return [
    gauge(
      'weft_own_lease_held',
      '1 while this node holds a lease of its own',
      read((status) => Number(status.lease !== null)),
      '0: /readyz says why',
    ),
    gauge(
      'weft_own_lease_reserved',
      '1 if the lease held has no end: a reservation',
      read((status) => Number(status.reservation)),
    ),
    gauge(
      'weft_own_lease_left_seconds',
      'Time until the lease runs out unless it is renewed; +Inf for a reservation',
      read(({ lease, secondsLeft }) =>
        lease === null ? 0 : (secondsLeft ?? Number.POSITIVE_INFINITY),
      ),
      'below the renew margin: etcd has not taken a renewal',
    ),
    counter(
      'weft_own_lease_renewals_total',
      'Times the lease was extended',
      read((status) => status.renewals),
    ),
    counter(
      'weft_own_lease_failures_total',
      'Tries to acquire, extend or look at the lease that failed',
      read((status) => status.failures),
      'is etcd there, and may this user write below the prefix?',
    ),
    counter(
      'weft_own_lease_lost_total',
      'Times the lease went to somebody else, or away',
      read((status) => status.lost),
      'two nodes of one PublicIP, or somebody deletes leases',
    ),
  ];
}

function backendMetrics(view: AgentView): ReadMetric[] {
  const read = (value: (status: NonNullable<ReturnType<AgentView['backend']>>) => number) => () => {
    const status = view.backend();
    return single(status === undefined ? 0 : value(status));
  };
  return [
    gauge('weft_backend', '1 for the backend in force', () => {
      const now = view.backend()?.type;
      return BACKENDS.map((type) => ({ labels: { type }, value: Number(type === now) }));
    }),
    gauge(
      'weft_backend_peers',
      'Peers by whether packets to them have a way',
      () => {
        const { peers = 0, programmed = 0, failing = 0 } = view.backend() ?? {};
        const pending = Math.max(0, peers - programmed - failing);
        return byLabel('state', { programmed, failing, pending });
      },
      'failing: the log names the first few; /readyz only speaks up when every peer fails',
    ),
    counter(
      'weft_backend_repairs_total',
      "Entries and settings of the kernel's that others changed and weft set right",
      read((status) => status.repairs),
      'somebody else manages the same devices or routes',
    ),
    counter(
      'weft_backend_reconciles_total',
      'Looks at what the kernel has',
      read((status) => status.reconciles),
    ),
    gauge(
      'weft_backend_last_reconcile_timestamp_seconds',
      'When the last complete look ended; 0 if never',
      read((status) => status.lastReconcileSeconds),
    ),
    gauge(
      'weft_backend_last_reconcile_duration_seconds',
      'How long it took',
      read((status) => status.lastReconcileDurationSeconds),
    ),
  ];
}

function firewallMetrics(view: AgentView): ReadMetric[] {
  return [
    gauge(
      'weft_firewall_in_force',
      '1 while all rules were there at the last look',
      () => single(Number(view.firewall()?.inForce ?? false)),
      '0: /readyz says why',
    ),
    counter(
      'weft_firewall_transactions_total',
      'Transactions that set the rules, repairs among them',
      () => single(view.firewall()?.transactions ?? 0),
    ),
    counter(
      'weft_firewall_repairs_total',
      'Times the rules were found changed or deleted, and set again',
      () => single(view.firewall()?.repairs ?? 0),
      'somebody else flushes rulesets',
    ),
  ];
}
