import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { type ReadCommandLine, readGoFlags } from '../../src/cli/go-flags.ts';
import { FLANNEL_FLAGS } from '../../src/config/flannel-flags.ts';
import { runSeed } from '../support/random.ts';

const KNOWN = [
  { name: 'iface', takesValue: true },
  { name: 'public-ip', takesValue: true },
  { name: 'tx-ports', takesValue: true },
  { name: 'ip-masq', takesValue: false },
  { name: 'keep-device', takesValue: false },
];

function read(words: readonly string[], environment: NodeJS.ProcessEnv = {}): ReadCommandLine {
  return readGoFlags({ command: 'run', words, known: KNOWN, environment });
}

describe("Go's flag syntax", () => {
  const forms: [string[], string[]][] = [
    [['-iface=eth0'], ['--iface=eth0']],
    [
      ['--iface', 'eth0', '-iface', 'eth1'],
      ['--iface=eth0', '--iface=eth1'],
    ],
    [['-iface', '-odd'], ['--iface=-odd']],
    [['-iface='], ['--iface=']],
    [
      ['-ip-masq', '--keep-device=F'],
      ['--ip-masq=true', '--keep-device=false'],
    ],
    [['--ip-masq=maybe'], ['--ip-masq=maybe']],
    [['-h'], ['--help']],
    [['-help'], ['--help']],
  ];
  for (const [given, wanted] of forms) {
    test(given.join(' '), () => {
      const { words, warnings, faults, versionAsked } = read(given);
      assert.deepEqual(
        { words, warnings, faults, versionAsked },
        { words: wanted, warnings: [], faults: [], versionAsked: false },
      );
    });
  }

  test('the version is asked for behind the command too', () => {
    assert.equal(read(['-version']).versionAsked, true);
    assert.equal(read(['--version=false']).versionAsked, false);
  });

  const wrong: [string[], string[]][] = [
    [['--ifcae', 'eth0'], ['--ifcae is no option of weft run: did you mean --iface?']],
    [['--zzzzzzzz=1'], ['--zzzzzzzz is no option of weft run']],
    [['--iface'], ['--iface needs a value']],
    [['now'], ["'now' is left over: weft run takes options only"]],
    [['--'], ["'--' is left over: weft run takes options only"]],
    [['--ip-masq', 'false'], ["'false' is left over: write --ip-masq=false"]],
    [
      ['-q', '1', 'now', '-iface'],
      [
        '--q is no option of weft run: did you mean --v?',
        "'now' is left over: weft run takes options only",
        '--iface needs a value',
      ],
    ],
  ];
  for (const [given, faults] of wrong) {
    test(`${given.join(' ')} is refused`, () => assert.deepEqual(read(given).faults, faults));
  }

  test("flannel's flags of another command are pointed there", () => {
    const line = { command: 'dataplane', words: ['-ip-blackhole-route'], known: KNOWN };
    assert.deepEqual(readGoFlags({ ...line, environment: {} }).faults, [
      '--ip-blackhole-route is no option of weft dataplane: it is one of weft run',
    ]);
  });
});

describe("flannel's flags that weft does not honour", () => {
  test('are taken with a line each, however often they are given', () => {
    const { words, warnings, faults } = read(['-v', '3', '--v=4', '--vmodule=a=1', '-ip-masq']);
    assert.deepEqual(words, ['--ip-masq=true']);
    assert.deepEqual(faults, []);
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]!, /^--v=4 has no effect in weft: see --log-level/);
    assert.match(warnings[1]!, /^--vmodule=a=1 has no effect/);
  });

  test('are refused where weft would build another network', () => {
    const { faults } = read(['-kube-subnet-mgr']);
    assert.match(faults.join(), /^--kube-subnet-mgr=true is not supported: .*etcd/);
  });

  test('say nothing at their default', () => {
    for (const flag of FLANNEL_FLAGS.filter(({ treatment }) => treatment !== 'honoured')) {
      const { words, warnings, faults } = read([`--${flag.name}=${flag.fallback}`]);
      assert.deepEqual({ words, warnings, faults }, { words: [], warnings: [], faults: [] });
    }
  });

  test('count from the environment where the flag is not given', () => {
    const environment = { FLANNELD_KUBE_SUBNET_MGR: 'true', FLANNELD_V: '2', FLANNELD_VMODULE: '' };
    const { warnings, faults } = read([], environment);
    assert.match(warnings.join(), /^FLANNELD_V=2 has no effect/);
    assert.match(faults.join(), /^FLANNELD_KUBE_SUBNET_MGR=true is not supported/);
    assert.deepEqual(read(['--kube-subnet-mgr=false', '--v=0'], environment).faults, []);
  });
});

describe('any command line', () => {
  const runs = { seed: runSeed(), numRuns: 2_000 };
  const value = fc.oneof(fc.string(), fc.constantFrom('-', '--', '-iface', 'a=b', '--x=y', ''));
  const setting = fc.record({
    flag: fc.constantFrom(...KNOWN),
    text: value,
    on: fc.constantFrom(...['1', 't', 'T', 'TRUE', 'true', 'True', undefined]),
    dashes: fc.constantFrom('-', '--'),
    apart: fc.boolean(),
  });

  test('means the same however it is spelled', () => {
    fc.assert(
      fc.property(fc.array(setting), (settings) => {
        const spelled = settings.flatMap(({ flag, text, on, dashes, apart }) => {
          const name = `${dashes}${flag.name}`;
          if (!flag.takesValue) return [on === undefined ? name : `${name}=${on}`];
          return apart ? [name, text] : [`${name}=${text}`];
        });
        const wanted = settings.map(({ flag, text }) =>
          flag.takesValue ? `--${flag.name}=${text}` : `--${flag.name}=true`,
        );
        const { words, faults } = read(spelled);
        assert.deepEqual({ words, faults }, { words: wanted, faults: [] });
        assert.deepEqual(read(words).words, words);
      }),
      runs,
    );
  });

  test('tells of each word that is no option, and reads the rest', () => {
    const pieces = fc.array(setting, { maxLength: 5 });
    const strange = fc.constantFrom('left', '', '-', '--', '--odd-one=1', '-=', '---iface=x', '-1');
    fc.assert(
      fc.property(pieces, strange, pieces, (before, word, after) => {
        const good = (settings: typeof before) =>
          settings.map(({ flag, text }) => `--${flag.name}=${flag.takesValue ? text : 'true'}`);
        const { words, faults } = read([...good(before), word, ...good(after)]);
        assert.deepEqual(words, [...good(before), ...good(after)]);
        assert.equal(faults.length, 1);
        assert.ok(faults[0]!.includes(word.replace('=1', '')), faults[0]);
      }),
      runs,
    );
  });

  test('is read without a fall, whatever is in it', () => {
    const flannels = fc.constantFrom(...FLANNEL_FLAGS.map(({ name }) => `--${name}`));
    fc.assert(
      fc.property(fc.array(fc.oneof(value, flannels)), (given) => {
        const known = KNOWN.map(({ name }) => `--${name}=`);
        for (const word of read(given).words) {
          assert.ok(word === '--help' || known.some((start) => word.startsWith(start)), word);
        }
      }),
      runs,
    );
  });
});
