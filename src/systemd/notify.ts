/**
 * The notification protocol of systemd: datagrams of `NAME=value` lines to the AF_UNIX socket that
 * NOTIFY_SOCKET names, in the file system or abstract (`@...`). Sources: sd_notify(3), unix(7),
 * sd_watchdog_enabled(3).
 */
import { libc } from '../sys/binding.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from '../sys/constants.ts';
import { check, EAGAIN, SyscallError } from '../sys/errno.ts';
import { SOCKADDR_FAMILY, SOCKADDR_UN_PATH, SOCKADDR_UN_SIZE } from '../sys/struct.ts';
import { escapeText } from '../untrusted/text.ts';

export interface Notifier {
  /** The service does its work; starts the watchdog where systemd asks for one. */
  ready(): void;
  /** The one line that `systemctl status` shows. */
  status(text: string): void;
  /** The end has begun; no more signs of life. */
  stopping(): void;
  /** Ends the timers of a notifier that nobody will ask any more. */
  close(): void;
}

export interface NotifierOptions {
  /** Asked at each beat of the watchdog; while it says no, systemd hears nothing and acts. */
  readonly healthy: () => boolean;
  /** Told once, in a sentence, what stands in the way of telling systemd. */
  readonly trouble: (sentence: string) => void;
}

/** systemd's socket is full for moments only; a service manager that hangs is not waited for. */
const RETRY_MS = 100;
const RETRIES = 50;
/** systemd cuts longer ones itself; a datagram has to fit its receive buffer. */
const MAX_STATUS_LENGTH = 1024;

/** A notifier for this process; does nothing where the environment has no NOTIFY_SOCKET. */
export function createNotifier(environment: NodeJS.ProcessEnv, options: NotifierOptions): Notifier {
  const name = environment.NOTIFY_SOCKET ?? '';
  if (name === '') return new SystemdNotifier(undefined, 0, options);
  const address = notifyAddress(name);
  if (address === undefined) {
    options.trouble(`NOTIFY_SOCKET=${name} is no AF_UNIX socket (/path or @name): not notified`);
  }
  return new SystemdNotifier(address, watchdogMilliseconds(environment), options);
}

/**
 * A sockaddr_un cut to its length; undefined for what is none. The zero in front makes a name
 * abstract; one that ends a path is not counted by everybody, so it is there where it fits.
 */
export function notifyAddress(name: string): Uint8Array | undefined {
  const bytes = Buffer.from(name);
  const room = SOCKADDR_UN_SIZE - SOCKADDR_UN_PATH;
  const abstract = name.startsWith('@');
  if (!(abstract || name.startsWith('/')) || bytes.length < 2 || bytes.length > room) {
    return undefined;
  }
  if (bytes.includes(0)) return undefined;
  const length = SOCKADDR_UN_PATH + Math.min(bytes.length + (abstract ? 0 : 1), room);
  const address = new Uint8Array(length);
  new DataView(address.buffer).setUint16(SOCKADDR_FAMILY, AF_UNIX, true);
  address.set(bytes, SOCKADDR_UN_PATH);
  if (abstract) address[SOCKADDR_UN_PATH] = 0;
  return address;
}

/** How often to beat: half of WATCHDOG_USEC; 0 where none is asked for or it is another's. */
export function watchdogMilliseconds(environment: NodeJS.ProcessEnv): number {
  const { WATCHDOG_USEC: microseconds = '', WATCHDOG_PID: pid = '' } = environment;
  if (!/^[1-9]\d{0,14}$/.test(microseconds)) return 0;
  if (pid !== '' && pid !== `${process.pid}`) return 0;
  // Node's timers hold 31 bits of milliseconds.
  return Math.min(Math.max(1, Math.floor(Number(microseconds) / 2_000)), 0x7fffffff);
}

class SystemdNotifier implements Notifier {
  private readonly address: Uint8Array | undefined;
  private readonly beatMs: number;
  private readonly options: NotifierOptions;
  private watchdog: NodeJS.Timeout | undefined;
  private retry: NodeJS.Timeout | undefined;
  /** Said but not taken yet, by the name of the first variable: the newest of each counts. */
  private readonly waiting = new Map<string, string>();
  private retries = 0;
  private complained = false;

  constructor(address: Uint8Array | undefined, beatMs: number, options: NotifierOptions) {
    this.address = address;
    this.beatMs = beatMs;
    this.options = options;
  }

  ready(): void {
    this.send('READY', '1');
    if (this.address === undefined || this.beatMs === 0 || this.watchdog !== undefined) return;
    this.beat();
    this.watchdog = setInterval(() => this.beat(), this.beatMs);
    this.watchdog.unref();
  }

  status(text: string): void {
    this.send('STATUS', escapeText(text, MAX_STATUS_LENGTH));
  }

  stopping(): void {
    clearInterval(this.watchdog);
    this.send('STOPPING', '1');
  }

  close(): void {
    clearInterval(this.watchdog);
    clearTimeout(this.retry);
    this.waiting.clear();
  }

  private beat(): void {
    if (this.options.healthy()) this.send('WATCHDOG', '1');
  }

  private send(variable: string, value: string): void {
    if (this.address === undefined) return;
    this.waiting.set(variable, value);
    if (this.retry === undefined) this.flush();
  }

  private flush(): void {
    const { address } = this;
    this.retry = undefined;
    if (address === undefined || this.waiting.size === 0) return;
    const lines = [...this.waiting].map(([variable, value]) => `${variable}=${value}\n`);
    try {
      if (sendDatagram(address, Buffer.from(lines.join('')))) this.sent();
      else this.sendLater();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      this.sent();
      this.complain(error.message);
    }
  }

  /** Also what failed for good: systemd is told news, not history. */
  private sent(): void {
    this.retries = 0;
    this.waiting.clear();
  }

  private sendLater(): void {
    this.retries += 1;
    if (this.retries <= RETRIES) {
      this.retry = setTimeout(() => this.flush(), RETRY_MS);
      return;
    }
    this.sent();
    this.complain('systemd takes nothing from NOTIFY_SOCKET: its queue is full');
  }

  private complain(sentence: string): void {
    if (this.complained) return;
    this.complained = true;
    this.options.trouble(sentence);
  }
}

/**
 * One datagram over a socket of its own, so that a service manager that made its socket anew is
 * found again. @returns false where there is no room now. @throws SyscallError
 */
function sendDatagram(address: Uint8Array, text: Uint8Array): boolean {
  const detail = 'cannot tell systemd through NOTIFY_SOCKET';
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = check(libc.socket(AF_UNIX, type, 0), 'socket', detail);
  try {
    check(libc.connect(fd, address, address.length), 'connect', detail);
    check(libc.send(fd, text, text.length, 0), 'send', detail);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === EAGAIN) return false;
    throw error;
  } finally {
    libc.close(fd);
  }
}
