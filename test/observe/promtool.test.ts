/** What Prometheus' own tool says of our names, help and types. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { renderMetrics } from '../support/metrics-view.ts';
import { attempt } from '../support/process.ts';

function check(text: string): string {
  const { status, stdout, stderr } = attempt(['promtool', 'check', 'metrics'], { input: text });
  return status === 0 ? '' : `${stdout}${stderr}`;
}

describe('promtool check metrics', () => {
  test('finds nothing to say of any metric, those of peers included', async () => {
    const text = await renderMetrics({ peers: 10 });
    assert.match(text, /^weft_peer_packets_total\{peer="10\.244\.2\.0\/24",direction="tx"\} 7$/m);
    assert.equal(check(text), '');
  });

  test('would find what is wrong', () => {
    assert.match(check('# TYPE weft_bytes counter\nweft_bytes 1\n'), /_total/);
  });
});
