import { backendCases, leaseOf } from '../backend.cases.ts';
import type { RigNode } from './rig.ts';
import { within } from './rig.ts';

export function macAddressOf(node: RigNode): string {
  const [link] = JSON.parse(within(node, ['ip', '-json', 'link', 'show', 'flannel.1']));
  return link.address;
}

backendCases({
  type: 'vxlan',
  mtu: 1450,
  value: (node) =>
    '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan",' +
    `"BackendData":{"VNI":1,"VtepMAC":"${macAddressOf(node)}"}}`,
  stuck: (key) => ({
    lease: leaseOf(
      key,
      '{"PublicIP":"192.0.2.99","BackendType":"vxlan",' +
        '"BackendData":{"VNI":1,"VtepMAC":"01:00:5e:00:00:01"}}',
    ),
    reason: /VtepMAC: "01:00:5e:00:00:01" is not the address of one station/,
  }),
  losses: [
    ['a deleted device', 'link delete flannel.1'],
    ['a device that was set down', 'link set flannel.1 down'],
    ['its MTU', 'link set flannel.1 mtu 1400'],
    ['its MAC address', 'link set flannel.1 address 0a:00:00:00:00:99'],
    ['its address', 'addr flush dev flannel.1'],
    ['a deleted route', 'route delete 10.244.2.0/24'],
    ['a changed route', 'route replace 10.244.2.0/24 via 10.244.3.0 dev flannel.1 onlink'],
    ['a deleted neighbour', 'neigh delete 10.244.2.0 dev flannel.1'],
    [
      'a changed neighbour',
      'neigh replace 10.244.2.0 lladdr 0a:00:00:00:00:98 dev flannel.1 nud permanent',
    ],
  ],
  foreign: [
    ['a route of another protocol', 'route add 10.244.88.0/24 via 192.0.2.254 proto static'],
    ['a route of another size', 'route add 10.244.96.0/20 via 192.0.2.254'],
    ['a route with a metric', 'route add 10.244.89.0/24 via 192.0.2.254 metric 7'],
    ['a black hole', 'route add blackhole 10.244.90.0/24'],
    ['a route of the device', 'route add 10.244.91.0/24 dev flannel.1'],
    ['a neighbour inside a subnet', 'neigh add 10.244.92.7 lladdr 0a:00:00:00:00:97 dev flannel.1'],
    ['a neighbour elsewhere', 'neigh add 198.51.100.0 lladdr 0a:00:00:00:00:96 dev flannel.1'],
  ],
});
