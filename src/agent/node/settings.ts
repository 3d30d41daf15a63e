import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../config.ts';
import type { Run } from '../../linux/command.ts';
import { whoHasPort } from '../../linux/holder/holder.ts';
import { mayConfigureNetwork } from '../../linux/proc.ts';
import type { Logger } from '../../log.ts';
import { FileError, readFileSoon } from '../../untrusted/file.ts';
import { LIMITS } from '../../untrusted/json.ts';
import { formatAddress4, formatPrefix4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import type { Readiness } from '../readiness.ts';
import type { Uplink } from '../uplink.ts';
import { parseSubnetFile, readSubnetFile, type SubnetFile } from './subnet-file.ts';

/** Outer IPv4 header and UDP header (RFC 791, RFC 768). */
export const ENCAPSULATION_BYTES = 28;

const LOOK_AGAIN_MS = 250;

/**
 * This node's part of the overlay, from the options or from the agent's file. A missing file is
 * waited for, since agents may start after us; a wrong one is a fault.
 */
export async function readNodeSettings(
  config: Config,
  readiness: Readiness,
  log: Logger,
  signal: AbortSignal,
): Promise<SubnetFile> {
  if (config.network !== undefined && config.subnet !== undefined) {
    return { network: config.network, subnet: config.subnet };
  }
  const text = await waitForFile(config.subnetFile, readiness, log, signal);
  const reading = parseSubnetFile(text);
  if (reading.ok) return reading.value;
  throw new Fault('configuration', `${config.subnetFile}: ${reading.faults.join('; ')}`);
}

async function waitForFile(
  path: string,
  readiness: Readiness,
  log: Logger,
  signal: AbortSignal,
): Promise<string> {
  for (;;) {
    try {
      const text = (await readFileSoon(path, LIMITS.subnetFileBytes)).toString();
      readiness.clear('subnet-file');
      return text;
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      const { code, message } = error;
      if (code !== 'ENOENT') {
        throw new Fault('environment', `--subnet-file ${path} cannot be read: ${message}`);
      }
    }
    const waiting = `waiting for ${path}: is the control agent running?`;
    if (readiness.set('subnet-file', waiting)) {
      log.info(`${waiting} (or give --network and --subnet)`);
    }
    await pause(LOOK_AGAIN_MS, undefined, { signal });
  }
}

/**
 * Holds the agent's file against what was started with. A file that is missing or makes no sense
 * for the moment changes nothing.
 * @throws Fault if the node was given another subnet: another start takes it over
 */
export async function requireSameNode(
  config: Config,
  started: Pick<SubnetFile, 'network' | 'subnet'>,
): Promise<void> {
  if (config.network !== undefined) return;
  const reading = await readSubnetFile(config.subnetFile);
  if (reading === undefined) return;
  const [was, is] = [describeNode(started), describeNode(reading)];
  if (was === is) return;
  throw new Fault(
    'dataplane',
    `${config.subnetFile} now says ${is}, weft runs with ${was}; started again, weft takes it over`,
  );
}

/** @throws Fault if the process may not make devices and routes */
export function requireNetworkAdmin(): void {
  if (mayConfigureNetwork()) return;
  throw new Fault(
    'environment',
    'weft may not configure the network: run it as root or give it CAP_NET_ADMIN ' +
      '(systemd: AmbientCapabilities=CAP_NET_ADMIN)',
  );
}

/**
 * Makes sure that nobody has the port. Our own sockets share it among themselves, so without this a
 * second process would silently take a part of the packets.
 * @throws Fault that names address and port
 */
export async function requireFreePort(address: number, port: number, run?: Run): Promise<void> {
  const text = formatAddress4(address);
  const error = await tryToBind(text, port);
  if (error === undefined) return;
  throw new Fault(
    'environment',
    `UDP ${text}:${port} cannot be used: ${await reasonOf(error, text, port, run)}`,
  );
}

async function reasonOf(
  error: NodeJS.ErrnoException,
  address: string,
  port: number,
  run: Run | undefined,
): Promise<string> {
  if (error.code !== 'EADDRINUSE') return error.message;
  const { who, cure } = await whoHasPort('udp', address, port, run);
  return `taken by ${who}: ${cure}, or choose another port with --port`;
}

function tryToBind(address: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', resolve);
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

/**
 * The MTU of the tunnel: what --mtu says, else the underlay's less the two outer headers, or less
 * still where the agent told pods so.
 */
export function chooseMtu(
  wanted: number | undefined,
  fromFile: number | undefined,
  uplink: Uplink,
  log: Logger,
): number {
  const room = uplink.mtu - ENCAPSULATION_BYTES;
  const fits = `underlay ${uplink.name} carries ${uplink.mtu} - ${ENCAPSULATION_BYTES} = ${room}`;
  if (wanted !== undefined) {
    if (wanted > room)
      log.warn(`--mtu ${wanted} is too large: ${fits}; full packets will not pass`);
    return wanted;
  }
  if (fromFile !== undefined && fromFile > room) {
    log.warn(`subnet file says MTU ${fromFile}, but ${fits}: give pods an MTU of ${room}`);
  }
  if (room < 68) throw new Fault('environment', `no room for IPv4: ${fits}`);
  return Math.min(fromFile ?? room, room);
}

/** How many pumps each way, and why, for the log. */
export function chooseWorkers(
  wanted: number | undefined,
  cores: number,
): { count: number; reason: string } {
  if (wanted !== undefined) return { count: wanted, reason: '--workers' };
  const count = cores <= 4 ? 1 : cores <= 8 ? 2 : 4;
  return { count, reason: `${cores} core${cores === 1 ? '' : 's'}` };
}

/** `10.1.5.0/24 of 10.1.0.0/16`. */
export function describeNode(node: Pick<SubnetFile, 'network' | 'subnet'>): string {
  return `${formatPrefix4(node.subnet)} of ${formatPrefix4(node.network)}`;
}
