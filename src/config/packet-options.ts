import { MOVERS, NO_NUMBER, type OptionNotes, row } from './option.ts';
import * as values from './values.ts';

const packet = <Value>(
  flags: string,
  parse: (texts: readonly string[]) => Value,
  fallback: Value,
  notes: OptionNotes,
) => row(flags, 'Packets', parse, fallback, { commands: MOVERS, ...notes });

/** How packets are moved; only where the process moves them. */
export const PACKET_OPTIONS = {
  workers: packet('--workers <count>', values.integer(1, 64), NO_NUMBER, {
    help: 'threads for each direction, each with a queue or a socket of its own',
    shown: '1 up to 4 cores, 2 up to 8, 4 above',
  }),
  accept: packet('--accept <mode>', values.choice('strict', 'peer', 'any'), 'strict', {
    help:
      'whom to let in: strict, a peer whose packet fits its lease and our subnet; peer, a peer; ' +
      'any, everybody',
  }),
  timeToLive: packet('--ttl <mode>', values.choice('keep', 'flannel'), 'keep', {
    help: "inner TTL: keep it, or lower it at both ends as flannel's proxy does",
  }),
  offloads: packet('--offload <feature=on|off>', values.offloads, values.offloads([]), {
    help:
      `switch an offload: ${values.OFFLOAD_NAMES.join(', ')}, or all; may be repeated; ` +
      'udp_gso=on uses it on Linux 7.0.0 to 7.1.4 too, where only a fixed kernel may',
    repeat: 'commas',
    shown: 'all=on, as far as the kernel can',
  }),
  txPorts: packet('--tx-ports <count>', values.integer(1, 16), 1, {
    help: 'source ports to send from; more than 1 spreads flows over links and queues on the way',
  }),
  dscp: packet('--dscp <value>', values.dscp, 0, {
    help: 'DSCP of outer packets: 0 to 63, or inherit from the inner packet',
  }),
  busyPoll: packet('--busy-poll <microseconds>', values.integer(0, 1_000), 0, {
    help: 'poll that long before sleeping: lower latency for more CPU',
  }),
} as const;
