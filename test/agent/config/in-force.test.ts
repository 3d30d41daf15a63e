/** Whether the config in the store is the one in force, asked at any moment. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { InForce } from '../../../src/agent/config/in-force.ts';
import {
  type NetworkConfig,
  type NetworkReading,
  parseNetworkConfig,
} from '../../../src/lease/network.ts';

function config(network: string): NetworkConfig {
  const parsed = parseNetworkConfig(JSON.stringify({ Network: network }));
  assert.ok(parsed.ok);
  return parsed.config;
}

describe('the config in force', () => {
  test('is judged by a read that began after it was asked for', async () => {
    const [old, fresh] = [config('10.1.0.0/16'), config('10.2.0.0/16')];
    let current = old;
    let answer = (_: NetworkReading) => {};
    const slow = new Promise<NetworkReading>((resolve) => {
      answer = resolve;
    });
    const answers = [slow, Promise.resolve<NetworkReading>({ kind: 'config', config: fresh })];
    const inForce = new InForce({
      read: () => answers.shift()!,
      current: () => current,
      log: { warn: () => {}, info: () => {} },
    });
    void inForce.look();
    // Taken over while the store is still about to answer with the one before.
    current = fresh;
    const second = inForce.look();
    answer({ kind: 'config', config: old });
    await second;
    assert.deepEqual([inForce.status().inForce, inForce.status().reason], [true, '']);
    await inForce.stop();
  });
});
