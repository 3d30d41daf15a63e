import type { z } from 'zod';
import * as schema from './schema.ts';

/** One parameter after the `?`. */
export interface Parameter {
  readonly name: string;
  readonly required: boolean;
  readonly help: string;
}

/** One path of the API: what may be asked and what comes back. */
export interface Route {
  readonly path: string;
  readonly help: string;
  readonly parameters: readonly Parameter[];
  readonly answer: z.ZodType;
}

/** Columns that peers may be sorted by; a leading `-` turns the order round. */
export const PEER_ORDERS = [
  'subnet',
  'address',
  'tx',
  'rx',
  'tx-rate',
  'rx-rate',
  'drops',
  'seen',
  'mtu',
  'rtt',
  'loss',
] as const;
export type PeerOrder = (typeof PEER_ORDERS)[number];

const optional = (name: string, help: string): Parameter => ({ name, required: false, help });

/** Every path; the server answers these and nothing else, docs/api.md lists them. */
export const ROUTES = {
  status: {
    path: '/v1/status',
    help: 'The node at a glance',
    parameters: [],
    answer: schema.Status,
  },
  peers: {
    path: '/v1/peers',
    help: 'A row a peer',
    parameters: [
      optional('sort', `${PEER_ORDERS.join(', ')}; -NAME for the greatest first`),
      optional('filter', 'only rows whose subnet or address contains this text, or this address'),
      optional('limit', 'at most so many rows'),
    ],
    answer: schema.Peers,
  },
  trace: {
    path: '/v1/trace',
    help: 'What would happen to a packet',
    parameters: [
      { name: 'dst', required: true, help: 'IPv4 address of the destination' },
      optional('from', "IPv4 address of the sender; the device's own address if left out"),
    ],
    answer: schema.Trace,
  },
  health: {
    path: '/v1/health',
    help: 'Whether the node can forward, and why not',
    parameters: [],
    answer: schema.Health,
  },
  config: {
    path: '/v1/config',
    help: 'The options in force and where each comes from, without secrets',
    parameters: [],
    answer: schema.Configuration,
  },
  history: {
    path: '/v1/history',
    help: 'Counters of the last five minutes, a sample a second',
    parameters: [],
    answer: schema.History,
  },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof ROUTES;
export type Answer<Name extends RouteName> = z.infer<(typeof ROUTES)[Name]['answer']>;
