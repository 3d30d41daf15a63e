/** The lines of /v1/monitor; as in the other answers, members are only ever added. */
import { z } from 'zod';

const count = () => z.int().min(0);

export const SeenPacket = z
  .object({
    kind: z.literal('packet'),
    atSeconds: z.number().describe('when the worker had it in hands'),
    direction: z.enum(['tx', 'rx']),
    worker: count(),
    peer: z.string().nullable().describe('public address of the other node; null: not known'),
    length: count().describe('bytes'),
    segmentBytes: count()
      .nullable()
      .describe('of a superpacket: payload of each packet that it becomes'),
    reason: z.string().nullable().describe('why it was dropped; null: it went its way'),
    meaning: z.string().nullable().describe('the same in words'),
    protocol: z.string().nullable(),
    source: z.string().nullable(),
    destination: z.string().nullable(),
    sourcePort: count().nullable(),
    destinationPort: count().nullable(),
    detail: z.string().describe('flags, type, fragment'),
  })
  .meta({ title: 'SeenPacket' });

export const MonitorSummary = z
  .object({
    kind: z.literal('summary'),
    atSeconds: z.number(),
    ended: z
      .enum(['time', 'count', 'weft ended'])
      .nullable()
      .describe('why this is the last line; null: it is not'),
    shown: count().describe('packets since the stream began'),
    passed: count().describe('packets that the node carried meanwhile, whatever the filter'),
    dropped: count().describe('packets that it dropped meanwhile'),
    oneOf: z
      .object({ packets: count(), drops: count() })
      .describe('one of so many is looked at, so that the rate is kept'),
    leftOut: z
      .object({
        byRate: count().describe('looked at, and over the rate'),
        ringFull: count().describe('at most so many: there was no room for copies'),
        slowReader: count().describe('this client did not read in time'),
      })
      .describe('packets that fit the filter and are not shown'),
  })
  .meta({ title: 'MonitorSummary' });

export const MonitorLine = z.discriminatedUnion('kind', [SeenPacket, MonitorSummary]);

export type SeenPacket = z.infer<typeof SeenPacket>;
export type MonitorSummary = z.infer<typeof MonitorSummary>;
export type MonitorLine = z.infer<typeof MonitorLine>;
