/** Cures about routes, run as printed: the host keeps its way to peers, gateway and store. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { createDevice } from '../../src/agent/udp/device.ts';
import type { Peer, Status } from '../../src/api/schema.ts';
import type { Subject } from '../../src/doctor/check.ts';
import { sysctlsCheck } from '../../src/doctor/host/sysctls.ts';
import { isRefused } from '../../src/doctor/ping.ts';
import { routeCheck } from '../../src/doctor/way/route.ts';
import { formatPrefix4, parsePrefix4 } from '../../src/wire/address.ts';
import { createNamespace } from '../linux/namespace.ts';

const UNDERLAY = `
link set lo up
link add wan0 type veth peer name far0
link set far0 up
link set wan0 up
address add 10.1.0.5/24 dev wan0
route add default via 10.1.0.1 dev wan0
link add other0 type bridge
link set other0 up
`;
/** A peer on the link and one behind a router, the gateway, and etcd. */
const NEEDED = ['10.1.0.7', '10.2.0.7', '10.1.0.1', '10.3.0.9'];

/** Networks, what else is routed, and whether a command may be printed for it. */
const FAULTS: readonly (readonly [network: string, route: string, command: boolean])[] = [
  ['10.1.0.0/24', '', false],
  ['10.0.0.0/8', '', false],
  ['10.0.0.0/8', 'route add 10.2.0.0/16 via 10.1.0.1', false],
  ['10.0.0.0/8', 'route add 10.3.0.9/32 via 10.1.0.1', false],
  ['10.0.0.0/8', 'route add 10.0.0.0/8 via 10.1.0.1', false],
  ['10.1.0.0/16', 'route add 10.1.0.1/32 dev wan0', false],
  ['10.1.0.0/16', 'address add 10.1.9.1/24 dev other0', false],
  ['10.0.0.0/8', 'route add 10.9.0.0/16 dev other0', true],
  ['10.244.0.0/16', 'route add 10.244.0.0/16 dev other0', true],
  ['10.244.0.0/16', 'route add blackhole 10.244.7.0/24', true],
  ['10.244.0.0/16', 'route add 10.244.7.0/24 via 10.1.0.1 proto bird', false],
];

/** Every command between quotes, or at the start of a cure. */
function commandsOf(texts: readonly string[]): string[] {
  return texts.flatMap(
    (text) => text.match(/\b(?:ip (?:route|link|address)|etcdctl) [^',;]+/g) ?? [],
  );
}

describe('cures of what is in the way of the overlay', () => {
  for (const [network, fault, command] of FAULTS) {
    test(`${network} with '${fault}' keep the underlay`, async () => {
      const space = createNamespace();
      try {
        space.ip(`${UNDERLAY}${fault}\n`);
        const ways = () => Promise.all(NEEDED.map((to) => space.run(['ip', 'route', 'get', to])));
        const intact = await ways();
        const subject = {
          run: space.run,
          carrier: { device: 'flannel0', backend: 'udp', port: 8285, mtu: 1472 },
          status: { lease: { network, subnet: '10.77.9.0/24' } } as unknown as Status,
          peers: NEEDED.slice(0, 2).map((publicAddress) => ({ publicAddress }) as Peer),
          options: new Map([['etcd-endpoints', 'http://10.3.0.9:2379']]),
          mostPeers: 0,
        } as unknown as Subject;
        const cures = (await routeCheck.look(subject)).map(({ cure }) => cure);
        const range = parsePrefix4(network)!;
        const device = {
          name: 'flannel0',
          mtu: 1472,
          network: range,
          subnet: parsePrefix4('10.77.9.0/24')!,
        };
        const routes = await space.run(['ip', 'route', 'show', 'exact', formatPrefix4(range)]);
        if (routes !== '') {
          const told = await createDevice(space.run, device).catch((error: Error) => error.message);
          cures.push(String(told));
        }
        const commands = commandsOf(cures).filter(
          (text) => !text.startsWith('ip link set flannel0'),
        );
        if (!command) assert.deepEqual(commands, [], cures.join('\n'));
        for (const text of commands) await space.run(text.trim().split(' ')).catch(() => undefined);
        assert.deepEqual(await ways(), intact, commands.join('\n'));
      } finally {
        space.remove();
      }
    });
  }
});

describe('a routing rule before the main table', () => {
  const RULES: readonly (readonly [rule: string, says: RegExp | undefined])[] = [
    ['rule add to 10.244.0.0/16 blackhole', /go to nowhere, not to flannel0/],
    ['rule add to 10.244.7.0/24 lookup 77', /10\.244\.7\.1 .*go to wan0, not to flannel0/],
    ['rule add to 10.243.0.0/16 blackhole', undefined],
    ['rule add from 10.1.0.5 lookup 77', undefined],
  ];
  for (const [rule, says] of RULES) {
    test(`${rule}: ${says === undefined ? 'fine' : 'told'}`, async () => {
      const space = createNamespace();
      try {
        space.ip(`${UNDERLAY}route add 10.244.0.0/16 dev other0
route add default via 10.1.0.1 dev wan0 table 77
${rule}
`);
        space.ip('link set other0 down\nlink set other0 name flannel0\nlink set flannel0 up\n');
        space.ip('route replace 10.244.0.0/16 dev flannel0\n');
        const subject = {
          run: space.run,
          carrier: { device: 'flannel0', backend: 'udp', port: 8285, mtu: 1472 },
          status: { lease: { network: '10.244.0.0/16', subnet: '10.244.9.0/24' } },
          peers: [{ subnet: '10.244.7.0/24', publicAddress: '10.1.0.7' }],
          mostPeers: 8,
        } as unknown as Subject;
        const [finding] = await routeCheck.look(subject);
        assert.equal(finding!.outcome, says === undefined ? 'fine' : 'wrong', finding!.what);
        if (says !== undefined) assert.match(finding!.what, says);
      } finally {
        space.remove();
      }
    });
  }
});

describe('the way to a peer', () => {
  const WAYS: readonly (readonly [how: string, says: RegExp | undefined])[] = [
    ['', undefined],
    ['route add 10.1.0.7/32 dev flannel0', /10\.1\.0\.7 leads into flannel0, the overlay itself/],
    ['route add 10.1.0.0/28 dev flannel0', /10\.1\.0\.7 leads into flannel0/],
    ['route add unreachable 10.1.0.7/32', /10\.1\.0\.7 leads nowhere/],
    ['rule add to 10.1.0.7 blackhole', /10\.1\.0\.7 leads nowhere/],
    ['route delete default', /10\.2\.0\.7 leads nowhere/],
    ['route replace default dev flannel0', /10\.2\.0\.7 leads into flannel0/],
  ];
  for (const [how, says] of WAYS) {
    test(`'${how}': ${says ?? 'fine'}`, async () => {
      const space = createNamespace();
      try {
        space.ip(UNDERLAY.replaceAll('other0', 'flannel0'));
        space.ip(`route add 10.244.0.0/16 dev flannel0\n${how}\n`);
        const subject = {
          run: space.run,
          carrier: { device: 'flannel0', backend: 'udp', port: 8285, mtu: 1472 },
          status: { lease: { network: '10.244.0.0/16', subnet: '10.244.9.0/24' } },
          peers: NEEDED.slice(0, 2).map((publicAddress, index) => {
            return { subnet: `10.244.${index}.0/24`, publicAddress };
          }),
          mostPeers: 8,
        } as unknown as Subject;
        const [finding, ...more] = await routeCheck.look(subject);
        assert.deepEqual(more, []);
        assert.equal(finding!.outcome, says === undefined ? 'fine' : 'wrong', finding!.what);
        if (says !== undefined) assert.match(finding!.what, says);
      } finally {
        space.remove();
      }
    });
  }

  test('that leads nowhere is no answer, and no end of the doctor', async () => {
    // connect(2) refuses a broadcast address as it does one without a route.
    assert.equal(await isRefused('255.255.255.255', 8285), false);
  });
});

describe('the name of a sysctl in a cure', () => {
  for (const device of ['flannel.1', 'eth0.100', 'eth0']) {
    test(`is taken by sysctl(8) for ${device}`, async () => {
      const space = createNamespace();
      try {
        space.ip(`link add ${device} type bridge\n`);
        const subject = {
          run: space.run,
          carrier: { device },
          status: null,
          peers: [],
          sysctl: (path: string) => (path.includes(device) ? '0' : '1'),
        } as unknown as Subject;
        const findings = await sysctlsCheck.look(subject);
        const cure = findings.find(({ outcome }) => outcome === 'wrong')!.cure;
        const [command] = /^sysctl -w [^,]+/.exec(cure)!;
        const [program, ...rest] = command.split(' ');
        await space.run([program!, ...rest]);
      } finally {
        space.remove();
      }
    });
  }
});
