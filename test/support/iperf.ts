/** iperf3 between two namespaces, results from its JSON. */
import { Background, runAside } from './process.ts';
import { STILL_MS } from './stillness.ts';
import { inside } from './topology.ts';

export interface Flow {
  readonly server: string;
  readonly client: string;
  /** Address of the server. */
  readonly address: string;
  readonly seconds: number;
  /** Further arguments of the client, such as -u, -R, -P 4. */
  readonly args?: readonly string[];
}

export interface FlowResult {
  readonly bitsPerSecond: number;
  /** Payload bytes at the receiver. */
  readonly bytes: number;
  readonly retransmits: number;
  /** UDP only: datagrams the sender says it sent, and those the receiver missed. */
  readonly packets: number;
  readonly lostPackets: number;
  /** The whole of iperf3's answer. */
  readonly json: IperfJson;
}

interface IperfSum {
  bits_per_second: number;
  bytes: number;
  retransmits?: number;
  packets?: number;
  lost_packets?: number;
}

export interface IperfJson {
  error?: string;
  intervals: { sum: IperfSum }[];
  end: { sum?: IperfSum; sum_sent: IperfSum; sum_received: IperfSum };
}

let lastPort = 5200;

/** One run from the client's namespace to the server's; rejects when iperf3 reports an error. */
export async function iperf(flow: Flow): Promise<FlowResult> {
  lastPort += 1;
  const port = String(lastPort);
  const server = new Background(
    inside(flow.server, ['iperf3', '--server', '--one-off', '--forceflush', '--port', port]),
  );
  try {
    await server.waitForOutput(/Server listening/);
    const ran = await runAside(inside(flow.client, clientArguments(flow, port)));
    return readResult(ran.stdout, ran.stderr);
  } finally {
    await server.stop('SIGKILL');
  }
}

function clientArguments(flow: Flow, port: string): string[] {
  const fixed = ['--json', '--connect-timeout', String(STILL_MS), '--time', String(flow.seconds)];
  return ['iperf3', '--client', flow.address, '--port', port, ...fixed, ...(flow.args ?? [])];
}

function readResult(stdout: string, stderr: string): FlowResult {
  let json: IperfJson;
  try {
    json = JSON.parse(stdout) as IperfJson;
  } catch {
    throw new Error(`iperf3 gave no JSON: ${stdout}${stderr}`);
  }
  if (json.error !== undefined) throw new Error(`iperf3: ${json.error}`);
  const { sum, sum_sent, sum_received } = json.end;
  return {
    bitsPerSecond: sum_received.bits_per_second,
    bytes: sum_received.bytes,
    retransmits: sum_sent.retransmits ?? 0,
    packets: sum?.packets ?? 0,
    lostPackets: sum?.lost_packets ?? 0,
    json,
  };
}
