import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { createLog } from '../../src/log.ts';
import { echoRequest, makeMark, readEcho } from '../../src/probe/echo.ts';
import {
  type OverlayProbe,
  type OverlayProbeOptions,
  startOverlayProbe,
} from '../../src/probe/overlay.ts';
import { type EchoOptions, NoRawSocket } from '../../src/probe/socket.ts';

const { log } = createLog({ level: 'silent', format: 'json' });

/** A probe whose clock the test turns, and whose peers answer if they are in `alive`. */
class Rig {
  readonly sent: string[] = [];
  readonly alive = new Set<string>();
  device: string | undefined;
  index = 7;
  peers = 1;
  opened = 0;
  readonly probe: OverlayProbe;

  constructor(rest: Partial<OverlayProbeOptions> = {}, device: string | undefined = 'flannel0') {
    this.device = device;
    this.probe = startOverlayProbe({
      everySeconds: 10,
      device: () => (this.device ? { name: this.device, index: this.index } : undefined),
      targets: () => Array.from({ length: this.peers }, (_, i) => target(i + 1)),
      log,
      open: async (options) => this.open(options),
      ...rest,
    });
  }

  private open({ heard }: EchoOptions) {
    this.opened += 1;
    return {
      send: (address: string, sequence: number) => {
        this.sent.push(address);
        if (this.alive.has(address)) heard({ kind: 'reply', from: address, sequence });
      },
      close: () => undefined,
    };
  }
}

const target = (index: number) => {
  const base = `10.${index >> 8}.${index & 0xff}.0`;
  return { subnet: `${base}/24`, address: base };
};

describe('the overlay probe', () => {
  /** Turns the clock in small steps, with what promises have to do in between. */
  async function advance(timers: { tick(ms: number): void }, milliseconds: number): Promise<void> {
    for (let at = 0; at < milliseconds; at += 2) {
      timers.tick(2);
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  }

  test('asks each peer about as often as it is told to', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const rig = new Rig();
    rig.peers = 4;
    for (let i = 1; i <= 4; i++) rig.alive.add(target(i).address);
    await advance(t.mock.timers, 100_000);
    rig.probe.close();
    assert.ok(rig.sent.length >= 30 && rig.sent.length <= 50, `${rig.sent.length} in 100 s`);
    for (let i = 1; i <= 4; i++) {
      const found = rig.probe.of(target(i).subnet)!;
      assert.equal(found.lossRatio, 0);
      assert.ok(found.sent >= 7 && found.roundTripMs !== null && found.lastAnswerSeconds !== null);
    }
  });

  test('keeps to its budget with 5,000 peers', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const rig = new Rig();
    rig.peers = 5_000;
    await advance(t.mock.timers, 20_000);
    rig.probe.close();
    assert.ok(rig.sent.length >= 200 && rig.sent.length <= 1_100, `${rig.sent.length} in 20 s`);
    assert.equal(new Set(rig.sent).size, rig.sent.length, 'nobody twice in a round');
  });

  test('tells loss over the last ten, and forgets who is gone', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const rig = new Rig({ everySeconds: 1 });
    const { subnet, address } = target(1);
    await advance(t.mock.timers, 15_000);
    assert.equal(rig.probe.of(subnet)!.lossRatio, 1);
    assert.equal(rig.probe.of(subnet)!.roundTripMs, null);
    rig.alive.add(address);
    await advance(t.mock.timers, 6_000);
    const half = rig.probe.of(subnet)!.lossRatio;
    assert.ok(half > 0.1 && half < 0.9, `${half}`);
    await advance(t.mock.timers, 15_000);
    assert.equal(rig.probe.of(subnet)!.lossRatio, 0);
    rig.peers = 0;
    await advance(t.mock.timers, 5_000);
    assert.equal(rig.probe.of(subnet), undefined);
    rig.probe.close();
  });

  test('waits for the device, and follows it', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const rig = new Rig({ everySeconds: 1 }, '');
    await advance(t.mock.timers, 5_000);
    assert.deepEqual([rig.sent.length, rig.probe.off()], [0, 'weft has no device here']);
    rig.device = 'flannel0';
    await advance(t.mock.timers, 5_000);
    assert.deepEqual([rig.opened, rig.probe.off()], [1, '']);
    rig.device = 'flannel1';
    rig.index += 1;
    await advance(t.mock.timers, 5_000);
    assert.equal(rig.opened, 2);
    // Deleted and made anew: the name is the same, and the link is another.
    rig.index += 1;
    await advance(t.mock.timers, 5_000);
    assert.equal(rig.opened, 3);
    await advance(t.mock.timers, 5_000);
    assert.equal(rig.opened, 3);
    rig.probe.close();
  });

  test('looks again at once where the device went while it was bound', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let tries = 0;
    const open = async () => {
      tries += 1;
      throw new NoRawSocket('flannel0: No such device', true);
    };
    const rig = new Rig({ everySeconds: 1, open });
    await advance(t.mock.timers, 5_000);
    rig.probe.close();
    assert.ok(tries >= 5, `${tries} tries in 5 s`);
  });

  test('says why it is off, and tries again later', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let tries = 0;
    const open = async () => {
      tries += 1;
      throw new NoRawSocket('raw-socket is not installed: npm install raw-socket');
    };
    const rig = new Rig({ everySeconds: 1, open });
    await advance(t.mock.timers, 65_000);
    rig.probe.close();
    assert.match(rig.probe.off(), /npm install raw-socket/);
    assert.ok(tries >= 2 && tries <= 4, `${tries} tries in 65 s`);
    const off = new Rig({ everySeconds: 0 });
    assert.match(off.probe.off(), /--probe-interval 0/);
  });
});

describe('echo as bytes', () => {
  const mark = makeMark();

  /** The packet that a raw socket hands over: an IPv4 header in front (RFC 791). */
  function packet(message: Buffer, protocol = 1): Buffer {
    const header = Buffer.alloc(20);
    header[0] = 0x45;
    header[9] = protocol;
    return Buffer.concat([header, message]);
  }
  function reply(sequence: number, bytes = 64): Buffer {
    const message = echoRequest(mark, sequence, bytes);
    message[0] = 0;
    return message;
  }
  function error(type: number, code: number, quoted: Buffer, mtu = 0): Buffer {
    const head = Buffer.alloc(8);
    head[0] = type;
    head[1] = code;
    head.writeUInt16BE(mtu, 6);
    return packet(Buffer.concat([head, packet(quoted)]));
  }

  test('a request sums up to nothing, odd lengths too (RFC 1071)', () => {
    for (const bytes of [36, 37, 64, 1471, 1472]) {
      const message = echoRequest(mark, 7, bytes);
      assert.equal(message.length, bytes - 20);
      let sum = 0;
      for (let at = 0; at < message.length; at += 2) {
        sum += (message[at]! << 8) | (message[at + 1] ?? 0);
      }
      assert.equal(((sum & 0xffff) + (sum >>> 16)) & 0xffff, 0xffff);
    }
  });

  test('knows its own replies and errors', () => {
    assert.deepEqual(readEcho(packet(reply(513)), '10.1.2.0', mark), {
      kind: 'reply',
      from: '10.1.2.0',
      sequence: 513,
    });
    const request = echoRequest(mark, 9, 64);
    const cases: [Buffer, string, number][] = [
      [error(3, 4, request, 1400), 'too long', 1400],
      [error(3, 1, request), 'unreachable', 0],
      [error(11, 0, request), 'time exceeded', 0],
    ];
    for (const [bytes, reason, mtu] of cases) {
      const found = { kind: 'error', from: '192.0.2.9', sequence: 9, reason, mtu };
      assert.deepEqual(readEcho(bytes, '192.0.2.9', mark), found);
      // The shortest quote that RFC 792 allows.
      assert.deepEqual(readEcho(bytes.subarray(0, 20 + 8 + 28), '192.0.2.9', mark), found);
    }
  });

  test('takes nothing that is not its own, and nothing cut short', () => {
    const strange = makeMark();
    const strangers = [
      packet(echoRequest(mark, 1, 64)),
      packet(echoRequest(strange, 1, 64)),
      packet(reply(1), 17),
      error(3, 4, reply(1)),
      error(3, 1, echoRequest({ ...strange, identifier: mark.identifier ^ 1 }, 1, 64)),
    ];
    for (const bytes of strangers) assert.equal(readEcho(bytes, 'x', mark), undefined);
    const forged = reply(1);
    forged[8] = forged[8]! ^ 1;
    assert.equal(readEcho(packet(forged), 'x', mark), undefined);
    const whole = packet(reply(1));
    for (let length = 0; length < 36; length++) {
      assert.equal(readEcho(whole.subarray(0, length), 'x', mark), undefined);
    }
    const quote = error(3, 1, echoRequest(mark, 1, 64));
    for (let length = 0; length < 56; length++) {
      assert.equal(readEcho(quote.subarray(0, length), 'x', mark), undefined);
    }
  });
});
