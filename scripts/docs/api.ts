import { z } from 'zod';
import { type Parameter, ROUTES, type Route } from '../../src/api/routes.ts';
import { ErrorAnswer } from '../../src/api/schema.ts';
import { DEFAULT_SOCKET } from '../../src/api/server.ts';
import { STREAMS, type Stream } from '../../src/api/stream/paths.ts';
import { MonitorLine } from '../../src/api/stream/schema.ts';
import { code, GENERATED, table } from './markdown.ts';

const HEAD = `${GENERATED}
# API

JSON over HTTP: on the unix socket ${code(DEFAULT_SOCKET)} (\`--api-socket\`; mode 0660, so root and
the socket's group), and under the same paths on \`--metrics-listen\`. It only reads: any method but
GET and HEAD is refused with 405. The commands of weft and its status page use it and nothing else.

\`\`\`sh
curl -s --unix-socket ${DEFAULT_SOCKET} http://weft/v1/status | jq .health
curl -s 'http://127.0.0.1:8286/v1/peers?sort=-rx-rate&limit=10'
\`\`\`

Version 1 only grows: members and paths may be added, none is renamed or taken away. A client should
pass over members that it does not know. Times are Unix seconds, and \`null\` means not known. A
request is bounded in header bytes, connections and time (5 s).
`;

const ERRORS = `## Errors

Any other status than 200 comes with an object of this shape: 400 for parameters, 403 for streams
elsewhere than on the unix socket, 404 for paths, 405 for methods, 409 for streams where weft
carries no packets, 414 for an address that is too long, 500 for a mistake of weft's own, 503 for
one stream too many.
`;

/** docs/api.md: every path with its parameters and the JSON Schema of its answer. */
export function renderApi(): string {
  const routes: readonly Route[] = Object.values(ROUTES);
  const sections = routes.map(({ path, help, parameters, answer }) => {
    return `## GET ${path}\n\n${help}.\n\n${listOf(parameters)}${schemaOf(answer)}`;
  });
  return [
    HEAD,
    ...sections,
    ...Object.values(STREAMS).map(streamOf),
    `${ERRORS}\n${schemaOf(ErrorAnswer)}`,
  ].join('\n');
}

function listOf(parameters: readonly Parameter[]): string {
  const rows = parameters.map(({ name, required, help: meaning }) => {
    return [code(name), required ? 'yes' : 'no', meaning];
  });
  return rows.length === 0 ? '' : `${table(['parameter', 'required', 'meaning'], rows)}\n\n`;
}

function streamOf({ path, help, contentType, parameters }: Stream): string {
  const answer =
    path === STREAMS.monitor.path
      ? `Each line is one of these:\n\n${schemaOf(MonitorLine)}`
      : '[capture.md](capture.md) says what is in it.\n';
  const ends = 'On the unix socket only; goes on until a bound is reached or the client goes.';
  const type = `Content type ${code(contentType)}.`;
  return `## GET ${path}\n\n${help}. ${ends} ${type}\n\n${listOf(parameters)}${answer}`;
}

function schemaOf(answer: z.ZodType): string {
  // Seen from the client, who passes over members that its version does not have.
  const schema = z.toJSONSchema(answer, { io: 'input' });
  return `\`\`\`json\n${JSON.stringify(schema, null, 2)}\n\`\`\`\n`;
}
