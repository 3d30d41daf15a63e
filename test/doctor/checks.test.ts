/** What cannot be made for real on one machine: other kernels, clocks and rights. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { describe } from 'node:test';
import { Recorder } from '../../src/api/answer/history.ts';
import { answerStatus } from '../../src/api/answer/status.ts';
import type { Status } from '../../src/api/schema.ts';
import type { Check, Finding, Subject } from '../../src/doctor/check.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { emitNft } from '../../src/doctor/emit-nft.ts';
import { conntrackCheck } from '../../src/doctor/host/conntrack.ts';
import { judgeKernel } from '../../src/doctor/host/kernel.ts';
import { offloadsCheck } from '../../src/doctor/host/offloads.ts';
import { buffersCheck } from '../../src/doctor/node/buffers.ts';
import { clockCheck } from '../../src/doctor/node/clock.ts';
import { reachCheck } from '../../src/doctor/way/reach.ts';
import { CommandError } from '../../src/linux/command.ts';
import { apiView } from '../api/view.ts';

function subject(rest: Partial<Subject> = {}): Subject {
  const view = apiView();
  const status = answerStatus(view, new Recorder(view));
  return {
    run: async () => '',
    sysctl: () => undefined,
    kernel: '6.18.0',
    status,
    peers: [],
    options: new Map(),
    privileged: true,
    unanswered: null,
    carrier: { backend: 'udp', device: 'flannel0', mtu: 1472, port: 8285, overhead: 28 },
    mostPeers: 16,
    ...rest,
  };
}

const withStatus = (change: (status: Status) => Partial<Status>): Partial<Subject> => {
  const { status } = subject();
  return { status: { ...status!, ...change(status!) } };
};

const notFine = (findings: readonly Finding[]) =>
  findings.filter(({ outcome }) => outcome !== 'fine').map(({ outcome, what }) => [outcome, what]);

describe('doctor checks', () => {
  test('kernels: too old, mangling, lacking, and good', () => {
    const outcomes = (kernel: string) => judgeKernel(kernel).map(({ outcome }) => outcome);
    assert.deepEqual(outcomes('5.3.18'), ['wrong']);
    assert.deepEqual(outcomes('5.10.0-28-amd64'), ['doubtful', 'doubtful']);
    assert.deepEqual(outcomes('6.1.0'), ['doubtful']);
    assert.deepEqual(outcomes('6.18.44'), ['fine']);
    for (const kernel of ['7.0.0', '7.0.12', '7.1.0', '7.1.4-generic']) {
      assert.match(judgeKernel(kernel)[0]!.what, /mangles UDP_SEGMENT/, kernel);
    }
    assert.deepEqual(outcomes('7.1.5'), ['fine']);
  });

  test('buffers that the kernel did not grant', async () => {
    const small = withStatus(({ workers }) => {
      return { workers: workers.map((worker) => ({ ...worker, socketBufferBytes: 425_984 })) };
    });
    const found = await buffersCheck.look(subject(small));
    assert.deepEqual(notFine(found), [
      ['wrong', 'tx worker 0 was granted 425984 bytes of socket buffer'],
      ['wrong', 'rx worker 0 was granted 425984 bytes of socket buffer'],
    ]);
    assert.match(found[1]!.cure, /sysctl -w net\.core\.rmem_max=/);
    assert.deepEqual(notFine(await buffersCheck.look(subject())), []);
  });

  test('a lease that nobody renewed', async () => {
    const ending = (seconds: number) =>
      withStatus(({ lease, nowSeconds }) => {
        return { lease: { ...lease!, expiresSeconds: nowSeconds + seconds } };
      });
    const look = async (seconds: number) =>
      notFine(await clockCheck.look(subject(ending(seconds))));
    assert.deepEqual(await look(7_200), []);
    assert.match((await look(60))[0]![1]!, /ends in 60 s, and was not renewed/);
  });

  test('a clock that is not that of etcd', async () => {
    let date = new Date();
    const server = createServer((_, response) => {
      response.setHeader('Date', date.toUTCString()).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const look = async () =>
      notFine(await clockCheck.look(subject({ options: new Map([['etcd-endpoints', url]]) })));
    assert.deepEqual(await look(), []);
    date = new Date(Date.now() - 90_000);
    assert.match((await look())[0]!.join(), /^doubtful,our clock is (89|90|91) s ahead of http/);
    await new Promise((resolve) => server.close(resolve));
    assert.match((await look())[0]!.join(), /^unknown,http.* tells no time$/);
  });

  test('a conntrack table that is full', async () => {
    const sysctl = (path: string) => (path.endsWith('_count') ? '65000' : '65536');
    const found = await conntrackCheck.look(subject({ sysctl }));
    assert.match(found[0]!.what, /^conntrack holds 65000 of at most 65536 flows$/);
  });

  test('programs that are not there are named, with their package', async () => {
    const run = async (argv: readonly string[]) => {
      throw new CommandError(argv, `no program '${argv[0]}' in PATH`);
    };
    const peers = [{ ...PEER }];
    for (const [check, cure] of [
      [reachCheck, 'apt-get install iputils-ping'],
      [offloadsCheck, 'apt-get install ethtool'],
    ] as const) {
      const found = await check.look(subject({ run, peers }));
      assert.deepEqual([found.at(-1)!.outcome, found.at(-1)!.cure], ['unknown', cure]);
    }
  });

  test('peers that are all silent are one finding, and some of them one a kind', async () => {
    const peers = Array.from({ length: 254 }, (_, index) => {
      const subnet = `10.244.${index}.0/24`;
      // Loopback, where a port without a socket says so.
      return { ...PEER, subnet, publicAddress: `127.1.0.${index + 1}` };
    });
    const answering = new Set<string>();
    const run = async (argv: readonly string[]) => {
      if (answering.has(argv.at(-1)!)) return '';
      throw new CommandError(argv, '', '', { code: 1, stderr: '' });
    };
    const carrier = { ...subject().carrier!, port: 1 };
    const look = () => reachCheck.look(subject({ run, peers, carrier }));
    const [all, ...none] = await look();
    assert.deepEqual(none, []);
    const what = 'no peer answers (16 of 254 asked): on 16 nobody listens on UDP 1. ';
    assert.equal(all!.what, `${what}Is this node cut off?`);
    answering.add('10.244.0.0');
    const [well, silent, ...more] = await look();
    assert.deepEqual(more, []);
    assert.equal(well!.what, '1 peers answer with full packets (16 of 254 asked)');
    assert.match(
      silent!.what,
      /^127\.1\.0\.\d+ \(.*\),.* and 11 more: nobody listens on UDP 1 there$/,
    );
    assert.equal(silent!.peers!.length, 15);
  });

  test('a check that cannot look does not keep others from looking', async () => {
    const broken: Check = {
      name: 'broken',
      look: async () => {
        throw new Error('no leave');
      },
    };
    const [first, second] = await examine(subject(), [broken, buffersCheck]);
    assert.match(first!.findings[0]!.what, /could not look: no leave/);
    assert.equal(second!.findings[0]!.outcome, 'fine');
  });

  test('the ruleset names each address once', () => {
    const text = emitNft({ port: 8299, peers: [PEER, { ...PEER, subnet: '10.244.3.0/24' }] });
    assert.equal(text.match(/192\.0\.2\.2/g)?.length, 1);
    assert.match(text, /udp dport 8299 drop/);
    assert.doesNotMatch(emitNft({ port: 8285, peers: [] }), /elements/);
  });
});

const PEER = {
  subnet: '10.244.2.0/24',
  publicAddress: '192.0.2.2',
  backendType: '',
  txPackets: null,
  txBytes: null,
  rxPackets: null,
  rxBytes: null,
  txBytesPerSecond: null,
  rxBytesPerSecond: null,
  txDrops: null,
  rxDrops: null,
  lastSeenSeconds: null,
  pathMtu: null,
  probe: null,
};
