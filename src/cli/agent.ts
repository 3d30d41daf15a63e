import { daemonCommand } from './arguments.ts';
import type { Order } from './daemon.ts';

export const agentCommand = daemonCommand(
  {
    name: 'agent',
    summary: "keep this node's lease, subnet.env, firewall, and the vxlan or host-gw backend",
    description:
      "Keeps this node's lease in etcd, writes subnet.env, keeps the firewall's rules, and\n" +
      'drives the backends that the kernel carries: vxlan and host-gw. With the udp backend it\n' +
      'leaves packets to a weft dataplane beside it.',
    examples: `  weft agent --etcd-endpoints http://10.0.0.1:2379 --ip-masq
  weft agent --iface eth1 --public-ip 203.0.113.7    behind NAT`,
  },
  (order) => liveAsAgent(order, false),
);

export const runCommand = daemonCommand(
  {
    name: 'run',
    summary: 'all of it in one process, in place of flanneld',
    description:
      'Does what flanneld does, with its flags and its keys in etcd: keeps the lease,\n' +
      'subnet.env and the firewall, and carries packets by the backend that the network config\n' +
      'names: udp (also where it names none), vxlan, host-gw, or alloc for none.',
    examples: `  weft run --etcd-endpoints http://10.0.0.1:2379 --ip-masq
  weft run -iface=eth1 -etcd-prefix=/coreos.com/network    flanneld's own command line`,
  },
  (order) => liveAsAgent(order, true),
);

/** Loaded only now: the help needs none of it. */
async function liveAsAgent(order: Order, movesPackets: boolean): Promise<number> {
  const { serve } = await import('./daemon.ts');
  const { Agent } = await import('../agent/agent.ts');
  const { agentMetrics } = await import('../observe/agent-metrics.ts');
  return serve(order, (config, log) => {
    const agent = new Agent({ config, log, movesPackets });
    return {
      node: agent,
      metrics: agentMetrics(agent),
      live: (signal) => agent.live(signal),
      reload: () => agent.reload(),
    };
  });
}
