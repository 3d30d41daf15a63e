import { daemonCommand } from './arguments.ts';

export const dataplaneCommand = daemonCommand(
  {
    name: 'dataplane',
    summary: 'forward packets between flannel0 and UDP',
    description:
      "Forwards packets between the TUN device flannel0 and UDP, as flannel's udp backend does.\n" +
      'Runs beside any control agent: it needs a source of leases and its own subnet.',
    examples: `  weft dataplane                     beside an agent that writes subnet.env
  weft dataplane --etcd-endpoints http://10.0.0.1:2379,http://10.0.0.2:2379
  weft dataplane --network 10.244.0.0/16 --subnet 10.244.1.0/24 --leases leases.json
      with leases.json like {"10.244.2.0-24": {"PublicIP": "192.0.2.2"}}`,
  },
  async (order) => {
    // Loaded only now: the help needs none of it.
    const { serve } = await import('./daemon.ts');
    const { Dataplane } = await import('../agent/dataplane.ts');
    return serve(order, (config, log) => {
      const dataplane = new Dataplane(config, log);
      return { node: dataplane, live: (signal) => dataplane.live(signal) };
    });
  },
);
