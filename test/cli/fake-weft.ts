/**
 * A weft that says whatever it is told to say: every answer of the API in its shape, with texts of
 * the test's choosing in every place where a text may stand.
 */
import { createServer } from 'node:http';
import { z } from 'zod';
import { ROUTES } from '../../src/api/routes.ts';
import { STREAMS } from '../../src/api/stream/paths.ts';
import { MonitorLine } from '../../src/api/stream/schema.ts';
import * as pcapng from '../../src/watch/pcapng.ts';

interface Schema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
  readonly minimum?: number;
}

/** A value of that shape, as full as can be: two of each list, and nothing null. */
function fill(schema: Schema, text: string): unknown {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fill(choices.find(({ type }) => type !== 'null')!, text);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const { type } = schema;
  switch (typeof type === 'object' ? type.find((each) => each !== 'null') : type) {
    case 'string':
      return text;
    case 'boolean':
      return false;
    case 'integer':
    case 'number':
      return Math.max(1, schema.minimum ?? 1);
    case 'array':
      return [fill(schema.items!, text), fill(schema.items!, text)];
    default: {
      const { properties = {}, additionalProperties } = schema;
      const members = Object.entries(properties).map(([name, of]) => [name, fill(of, text)]);
      if (additionalProperties) members.push([text, fill(additionalProperties, text)]);
      return Object.fromEntries(members);
    }
  }
}

const shapeOf = (type: z.ZodType): Schema => z.toJSONSchema(type) as Schema;

export interface FakeWeft {
  close(): void;
}

export interface FakeAnswers {
  /** Stands in every place of an answer where a text may. */
  readonly text: string;
  /** All requests get a refusal with that text. */
  readonly refuses?: boolean;
  /** How many packets a stream has; then it ends. */
  readonly packets?: number;
}

/** Serves the answers on a unix socket. */
export async function fakeWeft(path: string, answers: FakeAnswers): Promise<FakeWeft> {
  const { text, refuses = false, packets = 3 } = answers;
  const server = createServer((request, response) => {
    const asked = (request.url ?? '').split('?')[0];
    const route = Object.values(ROUTES).find((each) => each.path === asked);
    if (refuses || (route === undefined && !asked?.match(/monitor|capture/))) {
      response.writeHead(409).end(JSON.stringify({ error: text, cure: text }));
    } else if (route !== undefined) {
      response.end(JSON.stringify(fill(shapeOf(route.answer), text)));
    } else if (asked === STREAMS.monitor.path) {
      const lines = (shapeOf(MonitorLine).oneOf ?? shapeOf(MonitorLine).anyOf)!;
      for (let each = 0; each < packets; each++) {
        response.write(`${JSON.stringify(fill(lines[0]!, text))}\n`);
      }
      response.end(`${JSON.stringify(fill(lines[1]!, text))}\n`);
    } else {
      response.write(pcapng.sectionHeader({ application: text, hardware: 'x', system: 'y' }));
      const device = { name: 'flannel0', description: text, snapLength: 65_535, filter: text };
      response.write(pcapng.interfaceDescription(device));
      const packet = { micros: 1, length: 1_000, inbound: true, comment: text, lostBefore: 0 };
      const block = pcapng.enhancedPacket({ ...packet, bytes: new Uint8Array(1_000) });
      for (let each = 0; each < packets; each++) response.write(block);
      const times = { startMicros: 1, endMicros: 2, received: packets, dropped: 0 };
      response.end(pcapng.interfaceStatistics(times));
    }
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
