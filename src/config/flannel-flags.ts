/**
 * Every flag of flanneld, and what weft does with it: the one table behind the reading of a command
 * line, `weft flags --compare` and docs/flannel-flags.md. Names, defaults and meanings are those of
 * flannel's main.go and docs/configuration.md; `v`, `vmodule` and `log_backtrace_at` are klog's.
 */

/**
 * `honoured`: weft has an option of that name. `ignored`: taken, and said to have no effect.
 * `refused`: to go on without it would be another network than the one asked for.
 */
export type Treatment = 'honoured' | 'ignored' | 'refused';

export interface FlannelFlag {
  readonly name: string;
  /** False for a switch, which takes a value only with `=`. */
  readonly takesValue: boolean;
  /** flannel's, as it would be typed; given so, an ignored or refused flag changes nothing. */
  readonly fallback: string;
  readonly treatment: Treatment;
  /** What is different in weft; for what is not honoured why. Empty where nothing is. */
  readonly note: string;
}

const flag = (
  name: string,
  fallback: string,
  treatment: Treatment = 'honoured',
  note = '',
): FlannelFlag => ({ name, takesValue: true, fallback, treatment, note });

const toggle = (
  name: string,
  fallback: 'true' | 'false',
  treatment: Treatment = 'honoured',
  note = '',
): FlannelFlag => ({ name, takesValue: false, fallback, treatment, note });

const ETCD: readonly FlannelFlag[] = [
  flag(
    'etcd-endpoints',
    'http://127.0.0.1:4001,http://127.0.0.1:2379',
    'honoured',
    "without port 4001 in the default: etcd has not listened there since version 2's days",
  ),
  flag('etcd-prefix', '/coreos.com/network'),
  flag('etcd-keyfile', ''),
  flag('etcd-certfile', ''),
  flag('etcd-cafile', '', 'honoured', 'enough for TLS by itself; flannel then talks plain text'),
  flag('etcd-username', ''),
  flag('etcd-password', '', 'honoured', 'never logged; --etcd-password-file keeps it out of ps'),
];

const NODE: readonly FlannelFlag[] = [
  flag('iface', '', 'honoured', 'also several in one text, separated by commas'),
  flag('iface-regex', '', 'honoured', "JavaScript's regular expressions, not Go's"),
  flag('iface-can-reach', ''),
  flag('public-ip', ''),
  flag('public-ipv6', '', 'ignored', 'the overlay is IPv4 only'),
  flag('subnet-file', '/run/flannel/subnet.env'),
  flag('subnet-lease-renew-margin', '60'),
  flag('healthz-ip', '0.0.0.0'),
  flag('healthz-port', '0', 'honoured', 'the same is always served on --metrics-listen'),
];

const FIREWALL: readonly FlannelFlag[] = [
  toggle('ip-masq', 'false', 'honoured', 'by nftables; no iptables program is needed'),
  toggle('ip-masq-fully-random-disable', 'false'),
  toggle(
    'iptables-forward-rules',
    'true',
    'honoured',
    "in a table of weft's own, which cannot lift a drop in another; weft names such a chain",
  ),
  flag('iptables-resync', '5', 'honoured', 'rules are set again only where they differ'),
  toggle('ip-blackhole-route', 'false'),
];

const KUBERNETES_ONLY = 'only of use with --kube-subnet-mgr';

const KUBERNETES: readonly FlannelFlag[] = [
  toggle(
    'kube-subnet-mgr',
    'false',
    'refused',
    'weft keeps leases in etcd alone; leave it out and give --etcd-endpoints',
  ),
  flag('kube-api-url', '', 'ignored', KUBERNETES_ONLY),
  flag('kube-annotation-prefix', 'flannel.alpha.coreos.com', 'ignored', KUBERNETES_ONLY),
  flag('kubeconfig-file', '', 'ignored', KUBERNETES_ONLY),
  flag('net-config-path', '/etc/kube-flannel/net-conf.json', 'ignored', KUBERNETES_ONLY),
  toggle('set-node-network-unavailable', 'true', 'ignored', KUBERNETES_ONLY),
];

const LOGGING: readonly FlannelFlag[] = [
  toggle('version', 'false', 'honoured', 'goes to stdout'),
  flag('v', '0', 'ignored', 'see --log-level; lost packets are counted in /metrics'),
  flag('vmodule', '', 'ignored', 'see --log-level, which is one for all of weft'),
  flag('log_backtrace_at', ':0', 'ignored', "weft's own mistakes always come with their stack"),
];

export const FLANNEL_FLAGS: readonly FlannelFlag[] = [
  ...ETCD,
  ...NODE,
  ...FIREWALL,
  ...KUBERNETES,
  ...LOGGING,
];
