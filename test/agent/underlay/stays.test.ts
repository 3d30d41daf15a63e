/** What was chosen stays chosen: each way of choosing times each event, by the kernel's words. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { followUplink } from '../../../src/agent/underlay/follow.ts';
import { UplinkChoice } from '../../../src/agent/underlay/remembered.ts';
import type { Uplink, UplinkWishes } from '../../../src/agent/uplink.ts';
import { listLinks } from '../../../src/linux/link.ts';
import { formatAddress4, parseAddress4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { makeFolder } from '../../support/maker.ts';

/** Two uplinks; the better default route is over the first, which has two addresses. */
const LINKS = `
link add wan0 type veth peer name far0
link add wan1 type veth peer name far1
link set far0 up
link set far1 up
link set wan0 up
link set wan1 up
address add 192.0.2.1/24 dev wan0
address add 198.18.0.8/24 dev wan0
address add 198.51.100.1/25 dev wan1
route add default via 192.0.2.254 dev wan0 metric 10
route add default via 198.51.100.126 dev wan1 metric 20
route add 203.0.113.0/25 via 192.0.2.254 dev wan0
route add 203.0.113.128/25 via 192.0.2.254 dev wan0 src 198.18.0.8
route add 233.252.0.0/24 via 192.0.2.254 dev wan0 src 198.51.100.1
`;

const nothing: UplinkWishes = {
  interfaces: [],
  interfacePatterns: [],
  interfaceCanReach: undefined,
  publicAddress: undefined,
};
const address = (text: string) => parseAddress4(text);

const WAYS: readonly (readonly [name: string, wishes: Partial<UplinkWishes>, chosen: string])[] = [
  ['by the default route', {}, '192.0.2.1'],
  ['--iface name', { interfaces: ['wan0'] }, '192.0.2.1'],
  ['--iface address', { interfaces: ['198.18.0.8'] }, '198.18.0.8'],
  ['--iface-regex of a name', { interfacePatterns: [/^wan0$/] }, '192.0.2.1'],
  ['--iface-regex of an address', { interfacePatterns: [/^198\.18\./] }, '198.18.0.8'],
  ['--iface-can-reach', { interfaceCanReach: address('203.0.113.1') }, '192.0.2.1'],
  ['--iface-can-reach with src', { interfaceCanReach: address('203.0.113.129') }, '198.18.0.8'],
  [
    '--iface-can-reach with src of another link',
    { interfaceCanReach: address('233.252.0.1') },
    '-',
  ],
  ['--public-ip of this host', { publicAddress: address('198.18.0.8') }, '198.18.0.8'],
  [
    '--public-ip behind NAT',
    { interfaces: ['wan0'], publicAddress: address('203.0.113.77') },
    '192.0.2.1',
  ],
];

/** Batches of `ip`, with a look of the watch after each; `A` stands for the address chosen. */
const EVENTS: readonly (readonly [name: string, ...steps: string[]])[] = [
  ['nothing but time', '', '', ''],
  ['removed and added again', 'address delete A dev DEV\n', 'address add A dev DEV\n'],
  [
    'removed and added again behind others',
    'address delete A dev DEV\naddress add 192.0.2.77/24 dev DEV\n',
    'address add A dev DEV\n',
  ],
  [
    'another address before it in the order',
    'address delete A dev DEV\naddress add 10.9.9.9/8 dev DEV\naddress add A dev DEV\n',
  ],
  ['another address beside it', 'address add 192.0.2.99/24 dev DEV\n'],
  ['its lifetime runs out', 'address change A dev DEV preferred_lft 0\n'],
  ['link down and up', 'link set DEV down\n', 'link set DEV up\n'],
  [
    'moved to a bridge over the link',
    'link add br0 type bridge\nlink set br0 up\nlink set DEV master br0\n' +
      'address delete A dev DEV\n',
    'address add A dev br0\n',
  ],
  ['moved to lo', 'address delete A dev DEV\naddress add A dev lo\n'],
  [
    'default route gone and back',
    'route delete default dev wan0\n',
    'route add default via 192.0.2.254 dev wan0 metric 10\n',
  ],
  ['default route gone for good', 'route flush exact default\n'],
  ['a better default route', 'route add default via 198.51.100.126 dev wan1 metric 1\n'],
  [
    'a link before it',
    'link add aaa type bridge\nlink set aaa up\naddress add 198.18.9.9/24 dev aaa\n',
  ],
];

describe('the underlay that was chosen', () => {
  let folder: string;
  let files = 0;

  before(() => {
    folder = makeFolder('stays');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function through(space: Namespace, wishes: UplinkWishes, steps: readonly string[]) {
    space.ip(LINKS);
    const path = join(folder, `${files++}`);
    const warn = (sentence: unknown) => assert.fail(String(sentence));
    const choice = () => new UplinkChoice(path, wishes, { warn });
    const first = await choice().choose(space.run);
    let uplink: Uplink = first;
    for (const step of steps) {
      // The route before the address in its source does not outlive it.
      const text = formatAddress4(first.address);
      const length = text.startsWith('198.51') ? 25 : 24;
      const device = first.owner ?? first.name;
      space.ip(step.replaceAll('DEV', device).replace(/\bA\b/g, `${text}/${length}`));
      const found = followUplink(await listLinks(space.run), uplink, first.address, wishes);
      // As if the watch had lost its patience at once.
      if (found.kind !== 'lost') uplink = found.uplink;
      await choice().note(uplink);
    }
    const again = await choice().choose(space.run);
    return { first, uplink, again };
  }

  for (const [way, given, chosen] of WAYS) {
    for (const [event, ...steps] of EVENTS) {
      test(`${way}: ${event}`, async () => {
        const space = createNamespace();
        try {
          const { first, uplink, again } = await through(space, { ...nothing, ...given }, steps);
          const expected = chosen === '-' ? '198.51.100.1' : chosen;
          const known = formatAddress4(given.publicAddress ?? address(expected)!);
          const seen = (at: Uplink) => [at.address, at.publicAddress].map(formatAddress4).join();
          assert.equal(seen(first), `${expected},${known}`, 'chosen at first');
          assert.equal(seen(uplink), `${expected},${known}`, 'followed');
          assert.equal(seen(again), `${expected},${known}`, 'after a restart');
        } finally {
          space.remove();
        }
      });
    }
  }

  test('is chosen anew where the operator asks for another, or the file says nothing', async () => {
    const space = createNamespace();
    try {
      space.ip(LINKS);
      const path = join(folder, 'asked');
      const warn = () => assert.fail('a warning');
      const choose = async (wishes: Partial<UplinkWishes>) => {
        const choice = new UplinkChoice(path, { ...nothing, ...wishes }, { warn });
        return formatAddress4((await choice.choose(space.run)).address);
      };
      assert.equal(await choose({}), '192.0.2.1');
      assert.equal(await choose({ interfaces: ['wan1'] }), '198.51.100.1');
      space.ip('address delete 198.51.100.1/25 dev wan1\naddress add 198.51.100.9/25 dev wan1\n');
      assert.equal(await choose({ interfaces: ['wan1'] }), '198.51.100.9', 'the host lost it');
      assert.equal(await choose({ interfacePatterns: [/0$/] }), '192.0.2.1');
    } finally {
      space.remove();
    }
  });
});
