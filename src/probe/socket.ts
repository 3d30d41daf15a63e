import { echoRequest, type Heard, type Mark, makeMark, readEcho } from './echo.ts';

/** ICMP cannot be sent from here; the message says why, and what to do. */
export class NoRawSocket extends Error {
  override readonly name = 'NoRawSocket';
  /** Another try soon may succeed: the device is not there at the moment. */
  readonly passing: boolean;

  constructor(message: string, passing = false) {
    super(message);
    this.passing = passing;
  }
}

export interface EchoSocket {
  /**
   * Sends one request with DF set; what comes of it is told to `heard`.
   * @param bytes of the whole IPv4 packet
   * @param failed told where it cannot even leave, with the kernel's words
   */
  send(target: string, sequence: number, bytes: number, failed: (reason: string) => void): void;
  close(): void;
}

export interface EchoOptions {
  /** Requests leave by this device and by no other. */
  readonly device?: string;
  readonly heard: (heard: Heard) => void;
  /** Trouble of the socket itself. */
  readonly trouble: (reason: string) => void;
}

// <sys/socket.h>, <linux/in.h>
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
/** DF on every packet, and no answer from what the kernel remembers of the path. */
const IP_PMTUDISC_PROBE = 3;
const LARGEST_PACKET_BYTES = 65_536;

/** @throws NoRawSocket where raw-socket is not installed, or not allowed */
export async function openEchoSocket(options: EchoOptions): Promise<EchoSocket> {
  const raw = await loadRawSocket();
  const mark: Mark = makeMark();
  let socket: ReturnType<typeof raw.createSocket>;
  try {
    socket = raw.createSocket({ protocol: raw.Protocol.ICMP, bufferSize: LARGEST_PACKET_BYTES });
  } catch (error) {
    throw new NoRawSocket(
      `ICMP may not be sent from here (${(error as Error).message}): ` +
        'run as root or with CAP_NET_RAW',
    );
  }
  socket.on('message', (packet: Buffer, from: string) => {
    const heard = readEcho(packet, from, mark);
    if (heard !== undefined) options.heard(heard);
  });
  socket.on('error', (error: Error) => options.trouble(error.message));
  try {
    socket.setOption(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (options.device !== undefined) {
      const name = Buffer.from(`${options.device}\0`);
      socket.setOption(SOL_SOCKET, SO_BINDTODEVICE, name, name.length);
    }
  } catch (error) {
    socket.close();
    const passing = options.device !== undefined;
    throw new NoRawSocket(
      `${options.device ?? 'raw socket'}: ${(error as Error).message}`,
      passing,
    );
  }
  return {
    send: (target, sequence, bytes, failed) => {
      const message = echoRequest(mark, sequence, bytes);
      socket.send(message, 0, message.length, target, (error) => {
        if (error !== null) failed(error.message);
      });
    },
    close: () => void socket.close(),
  };
}

async function loadRawSocket() {
  try {
    return (await import('raw-socket')).default;
  } catch {
    throw new NoRawSocket(
      'raw-socket is not installed: npm install raw-socket where weft is (it needs a compiler)',
    );
  }
}
