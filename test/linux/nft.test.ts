import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { commandRunner } from '../../src/linux/command.ts';
import { changeNft, listChain, listChains, listTable, NftError } from '../../src/linux/nft.ts';
import { createNamespace, type Namespace } from './namespace.ts';

const TABLE = { table: { family: 'ip', name: 'ours' } };
const CHAIN = { chain: { family: 'ip', table: 'ours', name: 'first' } };

function ofKind(kind: NftError['kind'], message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof NftError, `${error}`);
    assert.equal(error.kind, kind);
    assert.match(error.message, message);
    return true;
  };
}

describe('nft', () => {
  let space: Namespace;
  beforeEach(() => {
    space = createNamespace();
  });
  afterEach(() => space.remove());

  test('sets and lists tables and chains; what is not there is undefined', async () => {
    assert.equal(await listTable(space.run, 'ip', 'ours'), undefined);
    assert.deepEqual(await listChains(space.run), []);
    await changeNft(space.run, [{ add: TABLE }, { add: CHAIN }]);
    const kinds = (await listTable(space.run, 'ip', 'ours'))!.map((entry) => Object.keys(entry)[0]);
    assert.deepEqual(kinds, ['table', 'chain']);
    assert.equal((await listChains(space.run)).length, 1);
    assert.equal((await listChain(space.run, ['ip', 'ours', 'first']))?.length, 1);
    assert.equal(await listChain(space.run, ['ip', 'ours', 'second']), undefined);
  });

  test('makes all changes of a transaction or none', async () => {
    const wrong = { delete: { chain: { ...CHAIN.chain, name: 'gone' } } };
    await assert.rejects(
      changeNft(space.run, [{ add: TABLE }, { add: CHAIN }, wrong]),
      ofKind('failed', /^nft refused: .*No such file or directory/),
    );
    assert.equal(await listTable(space.run, 'ip', 'ours'), undefined);
  });

  test('tells a missing program, a missing right and a missing kernel feature apart', async () => {
    const absent = commandRunner(['/nonexistent/nft']);
    await assert.rejects(listTable(absent, 'ip', 'ours'), ofKind('missing', /no program/));
    const user = ['setpriv', '--reuid=65534', '--clear-groups'];
    const nobody = commandRunner(['ip', 'netns', 'exec', space.name, ...user]);
    const forbidden = ofKind('forbidden', /CAP_NET_ADMIN/);
    await assert.rejects(listTable(nobody, 'ip', 'ours'), forbidden);
    await assert.rejects(changeNft(nobody, [{ add: TABLE }]), forbidden);
    const says = (text: string) =>
      commandRunner(['sh', '-c', 'echo "$0" >&2; exit 1', `Error: ${text}`]);
    await assert.rejects(
      listChains(says('Could not process rule: Operation not supported')),
      ofKind('unsupported', /modprobe nf_tables/),
    );
  });

  test('refuses an answer that is no listing', async () => {
    for (const answer of ['', 'table ip ours', '{}', '{"nftables":1}', 'null']) {
      const run = () => Promise.resolve(answer);
      await assert.rejects(listChains(run), ofKind('failed', /does not answer in JSON/));
    }
  });
});
