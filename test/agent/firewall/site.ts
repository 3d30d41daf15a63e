/**
 * One node with everything that its rules tell apart:
 *
 *   pod ns                 node ns                           outside ns
 *   eth0 10.244.1.2 ───── pod0 10.244.1.1/24
 *                          wan 192.0.2.1/24 ──────────────── eth0 192.0.2.9/24
 *   remote ns              flannel0 10.244.1.0/32
 *   eth0 10.244.2.2 ────── (the overlay, as a cable)
 *
 * `outside` knows the way to pods through the node, so that nothing but the rules decides about
 * source addresses.
 */

import type { Firewall, FirewallOptions } from '../../../src/agent/firewall/firewall.ts';
import { startFirewall } from '../../../src/agent/firewall/firewall.ts';
import type { FirewallWish } from '../../../src/agent/firewall/ruleset.ts';
import type { Prefix4 } from '../../../src/wire/address.ts';
import { parsePrefix4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { run } from '../../support/process.ts';
import { inside } from '../../support/topology.ts';

export const prefix = (text: string): Prefix4 => parsePrefix4(text)!;

export const WISH: FirewallWish = {
  network: prefix('10.244.0.0/16'),
  subnet: prefix('10.244.1.0/24'),
  masquerade: true,
  fullyRandom: true,
  forwardRules: true,
  notrack: null,
};

export interface Site {
  readonly node: Namespace;
  readonly pod: Namespace;
  readonly outside: Namespace;
  readonly remote: Namespace;
  remove(): void;
}

export function buildSite(): Site {
  const [node, pod, outside, remote] = [1, 2, 3, 4].map(createNamespace) as [
    Namespace,
    Namespace,
    Namespace,
    Namespace,
  ];
  const cable = (device: string, { name }: Namespace) =>
    node.ip(`link add ${device} type veth peer name eth0 netns ${name}\nlink set ${device} up\n`);
  cable('pod0', pod);
  cable('wan', outside);
  cable('flannel0', remote);
  run(inside(node.name, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']));
  node.ip(
    `addr add 10.244.1.1/24 dev pod0
     addr add 192.0.2.1/24 dev wan
     addr add 10.244.1.0/32 dev flannel0
     route add 10.244.0.0/16 dev flannel0
     route add 239.0.0.0/8 dev wan\n`,
  );
  pod.ip(
    `addr add 10.244.1.2/24 dev eth0
     link set eth0 up
     route add default via 10.244.1.1\n`,
  );
  outside.ip(
    `addr add 192.0.2.9/24 dev eth0
     link set eth0 up
     route add 10.244.0.0/16 via 192.0.2.1\n`,
  );
  remote.ip(
    `addr add 10.244.2.2/32 dev eth0
     link set eth0 up
     route add 10.244.1.0 dev eth0
     route add default via 10.244.1.0\n`,
  );
  const spaces = [node, pod, outside, remote];
  return {
    node,
    pod,
    outside,
    remote,
    remove: () => {
      for (const space of spaces) space.remove();
    },
  };
}

/** A firewall in a namespace, with what it logged and what it holds against being ready. */
export interface Kept {
  readonly firewall: Firewall;
  readonly info: string[];
  readonly warnings: string[];
  readonly causes: Map<string, string>;
}

export function keep(space: Namespace, rest: Partial<FirewallOptions> = {}): Kept {
  const info: string[] = [];
  const warnings: string[] = [];
  const causes = new Map<string, string>();
  const log = {
    info: (line: string) => void info.push(line),
    warn: (line: string) => void warnings.push(line),
  } as FirewallOptions['log'];
  const readiness = {
    set: (cause: string, sentence: string) => {
      const news = causes.get(cause) !== sentence;
      causes.set(cause, sentence);
      return news;
    },
    clear: (cause: string) => causes.delete(cause),
  };
  const firewall = startFirewall({
    run: space.run,
    wish: WISH,
    resyncSeconds: 600,
    readiness,
    log,
    prefix: ['ip', 'netns', 'exec', space.name],
    ...rest,
  });
  return { firewall, info, warnings, causes };
}

export const nft = (space: Namespace, ...args: string[]): string =>
  run(inside(space.name, ['nft', ...args]));
