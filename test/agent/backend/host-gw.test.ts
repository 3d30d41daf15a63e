import { backendCases, leaseOf } from '../backend.cases.ts';

backendCases({
  type: 'host-gw',
  mtu: 1500,
  value: () => '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"host-gw"}',
  stuck: (key) => ({
    lease: leaseOf(key, '{"PublicIP":"198.51.100.99","BackendType":"host-gw"}'),
    reason: /its node 198\.51\.100\.99 is not on the link of eth0/,
  }),
  losses: [
    ['a deleted route', 'route delete 10.244.2.0/24'],
    ['a changed route', 'route replace 10.244.2.0/24 via 192.0.2.3 dev eth0'],
    ['all routes after the link was down', 'link set eth0 down\nlink set eth0 up'],
  ],
  foreign: [
    ['a route of another protocol', 'route add 10.244.88.0/24 via 192.0.2.254 proto static'],
    ['a route of another size', 'route add 10.244.96.0/20 via 192.0.2.254'],
    ['a route with a metric', 'route add 10.244.89.0/24 via 192.0.2.254 metric 7'],
    ['a black hole', 'route add blackhole 10.244.90.0/24'],
    ['a route through another device', 'route add 10.244.91.0/24 dev cni0'],
  ],
});
