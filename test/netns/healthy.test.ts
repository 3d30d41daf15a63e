/**
 * The doctor finds nothing on nodes that are well: every backend, with and without masquerading,
 * beneath the rules that other programs leave on nodes, as root and as somebody else.
 */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import test, { after, before, describe } from 'node:test';
import type { Finding } from '../../src/doctor/check.ts';
import { Cluster } from '../support/cluster.ts';
import { weftPath } from '../support/node.ts';
import { NODE_RULES } from '../support/node-rules.ts';
import { attempt, run } from '../support/process.ts';
import { inside, ip, type NodeSpace } from '../support/topology.ts';

interface Answer {
  readonly well: boolean;
  readonly checks: readonly { readonly check: string; readonly findings: readonly Finding[] }[];
}

/** `nobody` with another group, as an operator's program may run. */
const AS_NOBODY = ['setpriv', '--reuid=65534', '--clear-groups'];

function doctor(node: NodeSpace, prefix: readonly string[] = [], only?: string): Answer {
  const some = only === undefined ? [] : ['--only', only];
  const words = [weftPath, 'doctor', '-o', 'json', ...some, '--api-socket', node.apiSocket];
  const argv = inside(node.namespace, [...prefix, process.execPath, ...words]);
  const { stdout, stderr } = attempt(argv);
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Answer;
}

/** What is said beside what is fine, but for what a kernel or a veth lacks. */
function troubles({ checks }: Answer, passOver: readonly string[]): string[] {
  return checks.flatMap(({ check, findings }) =>
    findings
      .filter(({ outcome }) => outcome !== 'fine' && !passOver.includes(check))
      .map(({ outcome, what }) => `${outcome} ${check}: ${what}`),
  );
}

/** They tell what this machine's kernel and devices can do, whatever is set up on them. */
const OF_THE_MACHINE = ['kernel', 'offloads'];

const BACKENDS = { udp: undefined, vxlan: { Type: 'vxlan' }, 'host-gw': { Type: 'host-gw' } };

for (const [name, backend] of Object.entries(BACKENDS)) {
  for (const masquerade of ['false', 'true']) {
    describe(`a healthy node: ${name}, --ip-masq=${masquerade}`, () => {
      let cluster: Cluster;
      before(async () => {
        cluster = await Cluster.build();
        await cluster.configure(backend);
        await cluster.reserveSubnets();
        // Pods whose packets fit every backend.
        for (const { namespace } of cluster.nodes) ip(namespace, 'link set cni0 mtu 1450\n');
        await cluster.startAll(['run', `--ip-masq=${masquerade}`]);
      });
      after(() => cluster.remove());

      test('as it is, and as another user', () => {
        const [first] = cluster.nodes;
        assert.deepEqual(troubles(doctor(first!), OF_THE_MACHINE), []);
        if (name !== 'udp' || masquerade !== 'false') return;
        // Who is in the socket's group may ask weft; rules and flows are root's alone.
        const rights = /^unknown powers: not all was looked at: that needs root/;
        const nobody = (group: string) => [...AS_NOBODY, `--regid=${group}`, '--'];
        chmodSync(cluster.topology.directory, 0o755);
        const strangers = troubles(doctor(first!, nobody('65534')), OF_THE_MACHINE);
        const insiders = troubles(doctor(first!, nobody('0')), OF_THE_MACHINE);
        for (const said of [strangers, insiders]) {
          assert.equal(said.length, 1, said.join('\n'));
          assert.match(said[0]!, rights);
        }
      });

      for (const [whose, ruleset] of Object.entries(NODE_RULES)) {
        test(`beneath the rules of ${whose}`, () => {
          const [first] = cluster.nodes;
          const { argv, input } = ruleset;
          run(inside(first!.namespace, argv), { input });
          const said = troubles(doctor(first!, [], 'firewall,conntrack,weft'), OF_THE_MACHINE);
          // The node's own rules are put right within seconds; others go with their namespace.
          for (const table of ruleset.tables) {
            run(inside(first!.namespace, ['nft', 'delete', 'table', ...table.split(' ')]));
          }
          assert.deepEqual(said, []);
        });
      }
    });
  }
}
