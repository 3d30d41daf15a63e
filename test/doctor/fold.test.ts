/** One cause, one finding: which findings go into which other one. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { type Finding, fine, noWeft, unknown, wrong } from '../../src/doctor/check.ts';
import { fold } from '../../src/doctor/fold.ts';

const fault = (what: string, rest: Partial<Finding>): Finding => {
  return { ...wrong(what, 'why', 'cure'), ...rest };
};

/** What is left, a word a finding, and what each explains. */
function left(checks: Readonly<Record<string, readonly Finding[]>>): string[] {
  const examined = Object.entries(checks).map(([check, findings]) => ({ check, findings }));
  return fold(examined).flatMap(({ check, findings }) =>
    findings.map(({ what, explains = [] }) => [check, what, ...explains].join(' ')),
  );
}

describe('folding findings by their cause', () => {
  test('a weft that does not answer is one finding, and a missing device behind it', () => {
    const weft = fault('gone', { cause: 'weft', follows: ['powers'] });
    const others = { routes: [noWeft()], mtu: [noWeft()], kernel: [fine('good')] };
    assert.deepEqual(left({ weft: [weft], ...others }), ['weft gone routes mtu', 'kernel good']);
    const powers = [fault('no-tun', { cause: 'powers' })];
    assert.deepEqual(left({ powers, weft: [weft], ...others }), [
      'powers no-tun weft routes mtu',
      'kernel good',
    ]);
  });

  test('what cannot be looked at is said once', () => {
    const closed: Finding = { ...unknown('closed', 'root'), follows: ['rights'] };
    const rights: Finding = { ...unknown('not-root', 'root'), cause: 'rights' };
    const socket: Finding = { ...closed, cause: 'weft' };
    assert.deepEqual(
      left({ powers: [rights], weft: [socket], routes: [noWeft()], firewall: [closed] }),
      ['powers not-root weft routes firewall'],
    );
  });

  test('a cause among some peers explains these alone', () => {
    const rule = fault('rule', { cause: 'firewall', peers: ['192.0.2.2'] });
    const silent = (peer: string) => fault(peer, { follows: ['firewall'], peers: [peer] });
    assert.deepEqual(
      left({ firewall: [rule], peers: [silent('192.0.2.2'), silent('192.0.2.3')] }),
      ['firewall rule peers', 'peers 192.0.2.3'],
    );
    const both = fault('both', { follows: ['firewall'], peers: ['192.0.2.2', '192.0.2.3'] });
    assert.deepEqual(left({ firewall: [rule], peers: [both] }), ['firewall rule', 'peers both']);
  });

  test('of two that are behind each other one is told', () => {
    const first = fault('first', { cause: 'weft', follows: ['device'] });
    const second = fault('second', { cause: 'device', follows: ['weft'] });
    assert.equal(left({ weft: [first], routes: [second] }).length, 1);
  });
});
