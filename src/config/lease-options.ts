import { AGENTS, NO_TEXT, type OptionNotes, row } from './option.ts';
import * as values from './values.ts';

/** etcd's own default; port 4001, which flannel still tries first, has been unused since 2015. */
const ETCD_ENDPOINTS: readonly string[] = Object.freeze(['http://127.0.0.1:2379']);

const flannels = <Value>(
  flags: string,
  parse: (texts: readonly string[]) => Value,
  fallback: Value,
  notes: OptionNotes,
) => row(flags, 'Leases', parse, fallback, { flannel: true, ...notes });

/** Where leases come from, and how our own is kept. */
export const LEASE_OPTIONS = {
  leases: row('--leases <file>', 'Leases', values.text, NO_TEXT, {
    help: 'take leases from this JSON file, re-read when it changes, instead of etcd',
    commands: ['dataplane'],
  }),
  etcdEndpoints: flannels('--etcd-endpoints <urls>', values.texts, ETCD_ENDPOINTS, {
    help: 'etcd servers, separated by commas',
    repeat: 'commas',
  }),
  etcdPrefix: flannels('--etcd-prefix <path>', values.text, '/coreos.com/network', {
    help: "flannel's folder in etcd",
  }),
  etcdCaFile: flannels('--etcd-cafile <file>', values.text, NO_TEXT, {
    help: 'CA that etcd is checked against',
  }),
  etcdCertFile: flannels('--etcd-certfile <file>', values.text, NO_TEXT, {
    help: 'certificate shown to etcd',
  }),
  etcdKeyFile: flannels('--etcd-keyfile <file>', values.text, NO_TEXT, {
    help: 'key of that certificate',
  }),
  etcdUsername: flannels('--etcd-username <name>', values.text, NO_TEXT, {
    help: 'user of etcd',
  }),
  etcdPassword: flannels('--etcd-password <password>', values.text, NO_TEXT, {
    help: 'its password; better given as a file or in the environment, for ps shows it',
    secret: true,
  }),
  etcdPasswordFile: row('--etcd-password-file <file>', 'Leases', values.text, NO_TEXT, {
    help: 'file whose first line is the password',
  }),
  renewMarginMinutes: flannels(
    '--subnet-lease-renew-margin <minutes>',
    values.integer(1, 1_439),
    60,
    { help: 'how long before its end the lease is renewed', commands: AGENTS },
  ),
} as const;

const firewall = <Value>(
  flags: string,
  parse: (texts: readonly string[]) => Value,
  fallback: Value,
  help: string,
) => row(flags, 'Firewall', parse, fallback, { flannel: true, commands: AGENTS, help });

/** The rules of the kernel's packet filter that pods need; names are flannel's. */
export const FIREWALL_OPTIONS = {
  masquerade: firewall(
    '--ip-masq',
    values.flag,
    false,
    "give pods' packets that leave the overlay the node's address",
  ),
  notFullyRandom: firewall(
    '--ip-masq-fully-random-disable',
    values.flag,
    false,
    'take the first free source port when masquerading, not one at random',
  ),
  resyncSeconds: firewall(
    '--iptables-resync <seconds>',
    values.integer(1, 86_400),
    5,
    'how often the rules are looked at, and restored where they are not as they should be',
  ),
  forwardRules: firewall(
    '--iptables-forward-rules',
    values.flag,
    true,
    "let the overlay's packets through the forward chain",
  ),
  notrack: row('--notrack', 'Firewall', values.flag, false, {
    commands: AGENTS,
    help:
      "keep the tunnel's datagrams out of conntrack; for firewalls that let them in whatever " +
      'their state (weft doctor)',
  }),
  blackholeRoute: firewall(
    '--ip-blackhole-route',
    values.flag,
    false,
    'drop packets to addresses of the own subnet that no pod has, instead of routing them out',
  ),
} as const;
