/** Many lines through one `ip` or `bridge`: which fail is known, and they hold up no other. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { readFailures, runBatch } from '../../src/linux/batch.ts';
import { CommandError, type Run } from '../../src/linux/command.ts';
import { listForwarding, listNeighbours } from '../../src/linux/neighbour.ts';
import { listRoutesWithin } from '../../src/linux/route.ts';
import { createNamespace, type Namespace } from './namespace.ts';

describe('a batch', () => {
  let space: Namespace;
  /** Processes that ran. */
  let processes: number;
  let run: Run;

  beforeEach(() => {
    space = createNamespace();
    space.ip(`link set lo up
link add eth0 type veth peer name other
link set other up
address add 192.0.2.1/24 dev eth0
link set eth0 up
link add flannel.1 type vxlan id 1 dev eth0 local 192.0.2.1 dstport 8472 nolearning
link set flannel.1 up
`);
    processes = 0;
    run = (argv, input) => {
      processes += 1;
      return space.run(argv, input);
    };
  });
  afterEach(() => space.remove());

  const route = (index: number, gateway = '192.0.2.9') =>
    `route replace 10.244.${index}.0/24 via ${gateway} dev eth0`;
  const neighbour = (index: number, device = 'flannel.1') =>
    `neighbour replace 10.244.${index}.0 lladdr 0a:00:00:00:00:01 dev ${device} nud permanent`;
  const forwarding = (octet: string, device = 'flannel.1') =>
    `fdb replace 0a:00:00:00:00:${octet} dev ${device} dst 192.0.2.2 self permanent`;
  /** The kernel has no such neighbour, at which `ip` ends on the spot. */
  const deadly = 'neighbour delete 203.0.113.77 lladdr 0a:00:00:00:00:01 dev flannel.1';

  test('of routes names each line that fails, and runs all others', async () => {
    const lines = [route(1), route(2, '198.51.100.1'), route(3), route(4).replace('eth0', 'none')];
    const failures = await runBatch(run, 'ip', [...lines, route(5)]);
    assert.deepEqual([...failures.keys()], [1, 3]);
    assert.match(failures.get(1)!, /^Nexthop has invalid gateway/);
    assert.match(failures.get(3)!, /Cannot find device "none"/);
    const routes = await listRoutesWithin(space.run, '10.244.0.0/16');
    assert.deepEqual(
      routes.map(({ destination }) => destination),
      ['10.244.1.0/24', '10.244.3.0/24', '10.244.5.0/24'],
    );
    assert.equal(processes, 1);
  });

  test('of forwarding entries does so too', async () => {
    const lines = [forwarding('01'), forwarding('02', 'none'), forwarding('03')];
    const failures = await runBatch(run, 'bridge', lines);
    assert.deepEqual([...failures.keys()], [1]);
    const entries = await listForwarding(space.run, 'flannel.1');
    assert.deepEqual(
      entries.map(({ macAddress, destination, permanent }) => {
        return { macAddress, destination, permanent };
      }),
      ['03', '01'].map((octet) => {
        return { macAddress: `0a:00:00:00:00:${octet}`, destination: '192.0.2.2', permanent: true };
      }),
    );
  });

  test('goes on behind a neighbour at which the program ends', async () => {
    const lines = Array.from({ length: 200 }, (_, index) => neighbour(index));
    lines.splice(150, 1, deadly);
    lines.splice(30, 1, deadly);
    const failures = await runBatch(run, 'ip', lines);
    assert.deepEqual([...failures.keys()].sort(), [150, 30]);
    assert.match(failures.get(30)!, /^No such file or directory/);
    const neighbours = await listNeighbours(space.run, 'flannel.1');
    assert.equal(neighbours.filter(({ permanent }) => permanent).length, 198);
  });

  test('gives up the search where all lines end the program, and says so of each', async () => {
    const lines = Array.from({ length: 3000 }, () => deadly);
    const failures = await runBatch(run, 'ip', lines);
    assert.equal(failures.size, 3000);
    assert.ok(processes < 150, `${processes} processes`);
    assert.match([...failures.values()].at(-1)!, /held up by others: No such file/);
  });

  test('as a whole fails where the program cannot be run', async () => {
    const none: Run = (argv) => Promise.reject(new CommandError(argv, 'no answer within 5 s'));
    await assert.rejects(runBatch(none, 'ip', [route(1)]), /no answer/);
  });

  test('takes no word that would be read as more than one', async () => {
    for (const word of ['a;b', "'a'", '#', 'a\nroute flush', '\\', '', 'é']) {
      await assert.rejects(runBatch(run, 'ip', [`route show ${word}`]), /weft made a mistake/);
    }
    assert.equal(processes, 0);
  });

  test("'s stderr is read by its numbers, and what follows the last is the end", () => {
    const { numbered, rest } = readFailures(
      'Error: Nexthop has invalid gateway.\nCommand failed -:2\nCommand failed -:5\nRTNETLINK ' +
        'answers: No such file or directory\n',
    );
    assert.deepEqual(
      [...numbered],
      [
        [2, 'Nexthop has invalid gateway.'],
        [5, 'refused without a reason'],
      ],
    );
    assert.equal(rest, 'No such file or directory');
  });
});
