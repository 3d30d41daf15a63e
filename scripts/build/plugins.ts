/** Changes to modules on their way into the bundle; each says what it spares. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';

/** A module by the end of its path, and its text in the bundle. */
interface Change {
  readonly path: RegExp;
  readonly text: (text: string) => string;
}

/**
 * @param names the files that modules look for beside themselves: those of the sources → those of
 * the bundle
 */
export function lessWork(root: string, names: Readonly<Record<string, string>>): Plugin {
  const named = (name: string) => names[name] ?? name;
  const changes: readonly Change[] = [
    {
      path: /src\/wire\/checksum\.ts$/,
      text: (text) => swap(text, "'./sum.wasm'", `'./${named('sum.wasm')}'`),
    },
    {
      path: /src\/dataplane\/pool\.ts$/,
      text: (text) => swap(text, "'./worker.js'", `'./${named('worker.js')}'`),
    },
    {
      path: /piscina\/dist\/index\.js$/,
      text: (text) => swap(text, "__dirname, 'worker.js'", `__dirname, '${named('thread.js')}'`),
    },
    // Its messages in forty languages: weft asks for none but English, which is the default.
    {
      path: /zod\/v4\/locales\/index\.js$/,
      text: () => "export { default as en } from './en.js';",
    },
    // etcd's protocol is parsed here and now instead of at every start.
    {
      path: /etcd3\/lib\/connection-pool\.js$/,
      text: (text) => {
        const inPlace = swap(text, LOAD_PROTOCOL, etcdProtocol(root));
        return swap(inPlace, 'proto_loader_1.loadSync', 'proto_loader_1.fromJSON');
      },
    },
  ];
  return {
    name: 'less work at start',
    setup: ({ onLoad }) => {
      for (const { path, text } of changes) {
        onLoad({ filter: path }, (found) => ({
          contents: text(readFileSync(found.path, 'utf8')),
          loader: found.path.endsWith('.ts') ? 'ts' : 'js',
        }));
      }
    },
  };
}

/** The file's name as etcd3 has it. */
const LOAD_PROTOCOL = `\`\${__dirname}/../proto/rpc.proto\``;

/** A package that was changed must not slip through unchanged. */
function swap(text: string, from: string, to: string): string {
  const parts = text.split(from);
  if (parts.length === 2) return parts.join(to);
  throw new Error(`${parts.length - 1} times, not once, in a module to be bundled: ${from}`);
}

/** Of protobufjs. */
interface Parser {
  readonly Root: new () => { loadSync(path: string, options: object): { toJSON(): object } };
}

/** As etcd3 reads it: with the names of fields as they are written. */
function etcdProtocol(root: string): string {
  const etcd3 = createRequire(createRequire(join(root, 'package.json')).resolve('etcd3'));
  const loader = createRequire(etcd3.resolve('@grpc/proto-loader'));
  const { Root } = loader('protobufjs') as Parser;
  const path = etcd3.resolve('../proto/rpc.proto');
  return JSON.stringify(new Root().loadSync(path, { keepCase: true }).toJSON());
}
