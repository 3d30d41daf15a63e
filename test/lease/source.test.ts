import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createEtcdSource } from '../../src/lease/etcd/source.ts';
import { createFileSource } from '../../src/lease/file.ts';
import { openCutLine } from '../support/cut-line.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { makeFolder } from '../support/maker.ts';
import { type Place, sourceCases } from './source.cases.ts';

sourceCases('a file', async () => {
  const folder = makeFolder('leases');
  let files = 0;
  return {
    place: async () => filePlace(join(folder, `leases-${files++}.json`)),
    end: () => rm(folder, { recursive: true }),
  };
});

sourceCases('etcd', async () => {
  const etcd = await startEtcd();
  let prefixes = 0;
  return {
    place: () => etcdPlace(etcd, `/test/${prefixes++}`),
    end: () => etcd.stop(),
  };
});

function filePlace(path: string): Place {
  const entries = new Map<string, string>();
  let broken = false;
  const replace = async (text: string) => {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  };
  const write = async () => {
    // Put together by hand, for an object would mangle the key "__proto__".
    const members = [...entries].map(([key, value]) => `${JSON.stringify(key)}: ${value}`);
    if (!broken) await replace(`{\n${members.join(',\n')}\n}`);
  };
  return {
    open: ({ log }) => createFileSource({ path, log }),
    fill: async (given) => {
      for (const [key, value] of given) entries.set(key, value);
      await write();
    },
    put: async (key, value) => {
      entries.set(key, value);
      await write();
    },
    delete: async (key) => {
      entries.delete(key);
      await write();
    },
    break: async () => {
      broken = true;
      await replace('{"half": ');
    },
    mend: async () => {
      broken = false;
      await write();
    },
    close: () => rm(path),
  };
}

async function etcdPlace(etcd: Etcd, prefix: string): Promise<Place> {
  const line = await openCutLine(etcd.members[0]!.port);
  const nameOf = (key: string) => `${prefix}/subnets/${key}`;
  const timing = { backoffMost: 200 };
  return {
    open: ({ log }) => createEtcdSource({ endpoints: [line.address], prefix, timing, log }),
    fill: async (entries) => {
      // Siblings that a careless prefix would take for leases.
      await etcd.put(`${prefix}/subnets-old/10.244.66.0-24`, '{}');
      await etcd.put(`${prefix}/subnets`, '{}');
      const all = [...entries].map(([key, value]) => [nameOf(key), value] as const);
      const big = all.filter(([, value]) => value.length > 100_000);
      for (const [key, value] of big) await etcd.put(key, value);
      await etcd.putMany(new Map(all.filter((pair) => !big.includes(pair))));
    },
    put: (key, value) => etcd.put(nameOf(key), value),
    delete: (key) => etcd.delete(nameOf(key)),
    break: async () => line.set('cut'),
    mend: async () => line.set('pass'),
    close: () => line.close(),
  };
}
