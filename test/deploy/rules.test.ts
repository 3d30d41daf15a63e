/** Each alert fires when it should and is silent when it should be, as promtool(1) runs them. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../support/maker.ts';
import { attempt } from '../support/process.ts';

const RULES = fileURLToPath(new URL('../../../deploy/prometheus/weft.rules.yml', import.meta.url));

/** Series in promtool's notation, name{labels} → values by the minute. */
type Series = Readonly<Record<string, string>>;

interface Case {
  readonly fires: Series;
  readonly silent: Series;
  /** How many series fire; 1 where nothing is said. */
  readonly count?: number;
}

const node = 'job="weft",instance="n1"';
const other = 'job="weft",instance="n2"';
const dropped = (reason: string, direction = 'rx') =>
  `weft_dropped_packets_total{${node},direction="${direction}",reason="${reason}"}`;
const packets = (direction: string) => `weft_packets_total{${node},direction="${direction}"}`;

const CASES: Readonly<Record<string, Case>> = {
  WeftDown: {
    fires: { [`up{${node}}`]: '0x30', 'up{job="other",instance="n1"}': '0x30' },
    silent: { [`up{${node}}`]: '0 1x30' },
  },
  WeftNotReady: {
    fires: { [`weft_ready{${node}}`]: '0x30' },
    silent: { [`weft_ready{${node}}`]: '0 1x30' },
  },
  WeftWorkerHangs: {
    fires: { [`weft_worker_heartbeat_age_seconds{${node},direction="tx",worker="0"}`]: '0+60x30' },
    silent: { [`weft_worker_heartbeat_age_seconds{${node},direction="tx",worker="0"}`]: '1x30' },
  },
  WeftRestarts: {
    fires: { [`weft_process_start_time_seconds{${node}}`]: '0+60x30' },
    silent: { [`weft_process_start_time_seconds{${node}}`]: '0x15 900x30' },
  },
  WeftLeasesStale: {
    fires: { [`weft_lease_source_state{${node},state="synced"}`]: '0x30' },
    silent: { [`weft_lease_source_state{${node},state="synced"}`]: '0 0 0 1x30' },
  },
  WeftLeasesRefused: {
    fires: { [`weft_lease_refused{${node},reason="duplicate_subnet"}`]: '1x30' },
    silent: { [`weft_lease_refused{${node},reason="other_backend"}`]: '9x30' },
  },
  WeftConfigNotInForce: {
    fires: { [`weft_network_config_in_force{${node}}`]: '0x30' },
    silent: { [`weft_network_config_in_force{${node}}`]: '0 0 0 1x30' },
  },
  WeftPeersDiffer: {
    fires: {
      [`weft_leases{${node},state="peer"}`]: '2x30',
      [`weft_leases{${other},state="peer"}`]: '3x30',
    },
    silent: {
      [`weft_leases{${node},state="peer"}`]: '3x30',
      [`weft_leases{${other},state="peer"}`]: '2 2 3x30',
      [`weft_leases{${other},state="refused"}`]: '7x30',
    },
  },
  WeftMtuDiffers: {
    fires: {
      [`weft_mtu_bytes{${node},layer="inner"}`]: '1472x30',
      [`weft_mtu_bytes{${other},layer="inner"}`]: '1422x30',
    },
    silent: {
      [`weft_mtu_bytes{${node},layer="inner"}`]: '1472x30',
      // A node that has no device yet.
      [`weft_mtu_bytes{${other},layer="inner"}`]: '0x30',
    },
  },
  WeftOneWay: {
    fires: { [packets('tx')]: '0+600x30', [packets('rx')]: '0x30' },
    silent: { [packets('tx')]: '0+600x30', [packets('rx')]: '0+1x30' },
  },
  WeftSendRefused: {
    fires: { [dropped('send_refused', 'tx')]: '0+600x30' },
    silent: { [dropped('send_refused', 'tx')]: '0 20x30' },
  },
  WeftQueuesOverflow: {
    fires: { [dropped('socket_overflow')]: '0+600x30', [dropped('tun_full')]: '0+600x30' },
    silent: { [dropped('socket_overflow')]: '0 200x30', [dropped('no_route')]: '0+600x30' },
    count: 2,
  },
  WeftForgedPackets: {
    fires: { [dropped('spoofed_source')]: '0+600x30' },
    silent: { [dropped('bad_length')]: '0+600x30', [dropped('unknown_peer')]: '0+6x30' },
  },
  WeftPacketsTooLarge: {
    fires: { [dropped('too_big')]: '0+60x30' },
    silent: { [dropped('too_big', 'tx')]: '0+60x30' },
  },
  WeftNoRoute: {
    fires: { [dropped('no_route', 'tx')]: '0+600x30' },
    silent: { [dropped('no_route', 'tx')]: '0+6x30' },
  },
  WeftWorkerBusy: {
    fires: { [`weft_worker_busy_ratio{${node},direction="rx",worker="0"}`]: '0.99x30' },
    silent: { [`weft_worker_busy_ratio{${node},direction="rx",worker="0"}`]: '0.99 0.99 0.5x30' },
  },
  WeftOffloadLost: {
    fires: { [`weft_capability{${node},feature="udp_gso"}`]: '1 1 0x30' },
    silent: { [`weft_capability{${node},feature="udp_gso"}`]: '0x30' },
  },
  WeftPeerUnreachable: {
    fires: { [`weft_peer_loss_ratio{${node},peer="10.244.2.0/24"}`]: '1x30' },
    silent: { [`weft_peer_loss_ratio{${node},peer="10.244.2.0/24"}`]: '0.9x30' },
  },
  WeftLogLost: {
    fires: { [`weft_log_write_errors_total{${node}}`]: '0+1x30' },
    silent: { [`weft_log_write_errors_total{${node}}`]: '3x30' },
  },
};

function inputs(series: Series) {
  return Object.entries(series).map(([name, values]) => ({ series: name, values }));
}

/** promtool reads YAML, and JSON is YAML. */
function unitTests(): string {
  const at = '25m';
  const tests = Object.entries(CASES).flatMap(([alert, { fires, silent, count = 1 }]) => {
    const expr = `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`;
    const expect = (value: number) => [
      { expr, eval_time: at, exp_samples: [{ labels: '{}', value }] },
    ];
    return [
      { name: alert, interval: '1m', input_series: inputs(fires), promql_expr_test: expect(count) },
      { name: alert, interval: '1m', input_series: inputs(silent), promql_expr_test: expect(0) },
    ];
  });
  return JSON.stringify({ rule_files: ['weft.rules.yml'], evaluation_interval: '1m', tests });
}

function promtool(rules: string): { status: number; said: string } {
  const folder = makeFolder('rules');
  try {
    writeFileSync(join(folder, 'weft.rules.yml'), rules);
    writeFileSync(join(folder, 'tests.yml'), unitTests());
    const ran = attempt(['promtool', 'test', 'rules', join(folder, 'tests.yml')]);
    return { status: ran.status, said: `${ran.stdout}${ran.stderr}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('alert rules', () => {
  const rules = readFileSync(RULES, 'utf8');

  test('fire when they should, and only then', () => {
    const { status, said } = promtool(rules);
    assert.equal(status, 0, said);
  });

  test('would be caught asleep', () => {
    assert.notEqual(promtool(rules.replace('weft_ready == 0', 'weft_ready == 2')).status, 0);
    assert.notEqual(promtool(rules.replace('> 0.9', '> 0.1')).status, 0);
  });

  test('all have cases, a summary and what to do', () => {
    const names = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
    assert.deepEqual(names.toSorted(), Object.keys(CASES).toSorted());
    for (const word of ['summary', 'action', 'severity']) {
      assert.equal(rules.match(new RegExp(`${word}: `, 'g'))?.length, names.length, word);
    }
  });
});
