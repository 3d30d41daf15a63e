/** What weft capture and weft monitor refuse before they ask any weft. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { weftPath } from '../support/node.ts';
import { attempt } from '../support/process.ts';

const NOWHERE = ['--api-socket', '/nonexistent/weft.sock'];

describe('commands that watch', () => {
  test('capture does not write to a terminal', () => {
    const command = `${process.execPath} ${weftPath} capture ${NOWHERE.join(' ')}`;
    // script(1) gives the command a terminal, and its exit code to us.
    const { status, stdout } = attempt(['script', '-qec', command, '/dev/null']);
    assert.equal(status, 2, stdout);
    assert.match(stdout, /this is a terminal, and pcapng is no text: -w FILE, or a pipe/);
  });

  const refused: [string[], number, RegExp][] = [
    [['capture'], 5, /there is no \/nonexistent\/weft\.sock\nweft: is weft running\?/],
    [['monitor'], 5, /there is no \/nonexistent\/weft\.sock/],
    [['capture', 'host', 'web-1'], 2, /host takes an IPv4 address, not 'web-1'/],
    [['monitor', '--rate', '0'], 2, /--rate <packets>' argument '0' is invalid.*from 1 to 1000/],
    [['monitor', '-f', '-t', '5'], 2, /--follow goes on until Ctrl-C: leave out --seconds/],
    [['capture', '--size', '1T'], 2, /such as 500k, 100M, 2G/],
  ];
  for (const [words, code, message] of refused) {
    test(`weft ${words.join(' ')} ends with ${code}`, () => {
      const { status, stderr } = attempt([process.execPath, weftPath, ...words, ...NOWHERE]);
      assert.equal(status, code, stderr);
      assert.match(stderr, message);
    });
  }
});
