import type { Status } from '../api/schema.ts';
import { byId, setText, setTitle } from './element.ts';
import { askHistory, askNotable, askPeers, askStatus, type Notable } from './feed.ts';
import { findings } from './findings.ts';
import { duration } from './format.ts';
import { History } from './history.ts';
import { showFindings } from './panel/findings.ts';
import { showDrops, showNode } from './panel/node.ts';
import { PeersTable } from './panel/peers.ts';
import { Plots } from './panel/plots.ts';
import { DRAWN, showTopology } from './panel/topology.ts';

const STATUS_EVERY_MS = 1_000;
const PEERS_EVERY_MS = 2_000;
const NOTABLE_EVERY_MS = 5_000;
/** How many of the worst peers are looked at for findings. */
const WORST = 6;
/** A hole in our own polling (a sleeping tab) that the server's memory can fill. */
const REFILL_SECONDS = 3;

const history = new History();
const plots = new Plots();
const peersTable = new PeersTable(() => void refreshPeers());
let last: Status | undefined;
let notable: Notable = { total: 0, peers: [] };
let lastAnswerAt = performance.now();
let failing = false;
let asked = 0;

/** One look at the node; what the daemon does not answer is said, and asked again. */
async function refreshStatus(): Promise<void> {
  const status = await askStatus();
  const restarted = last?.startedSeconds !== status.startedSeconds;
  const hole = last === undefined || status.nowSeconds - last.nowSeconds > REFILL_SECONDS;
  if (restarted || hole) history.load((await askHistory()).samples);
  history.add(status);
  if (restarted) await refreshNotable(status);
  last = status;
  lastAnswerAt = performance.now();
  showHeader(status);
  showNode(status);
  showDrops(status);
  showFindings(findings(status, notable.peers));
  plots.show(history.columns());
}

async function refreshNotable(status: Status): Promise<void> {
  notable = await askNotable(DRAWN, WORST);
  showTopology(status, notable);
}

/** Only the latest wish counts: an older answer that comes late is dropped. */
async function refreshPeers(): Promise<void> {
  asked += 1;
  const own = asked;
  const answer = await askPeers(peersTable.wish()).catch(() => undefined);
  if (answer !== undefined && own === asked) peersTable.show(answer);
}

function showHeader({ host, health, version, command }: Status): void {
  setText(byId('host'), host);
  setText(byId('version'), `weft ${version}, ${command}.`);
  const [state, text] = !health.alive
    ? ['bad', '✕ hangs']
    : health.ready
      ? ['fine', '✓ ready']
      : ['bad', '✕ not ready'];
  badge(state, text);
  setTitle(health.ready ? `${host} · weft` : `✕ ${host} · weft`);
}

function badge(state: string, text: string): void {
  const health = byId('health');
  health.setAttribute('data-state', state);
  setText(health, text);
}

function showFreshness(): void {
  document.body.classList.toggle('gone', failing);
  const seconds = (performance.now() - lastAnswerAt) / 1000;
  if (!failing) {
    setText(byId('freshness'), 'live');
    return;
  }
  badge('gone', '? no answer');
  const shown = last === undefined ? '' : ` What is shown is ${duration(seconds)} old.`;
  setText(byId('freshness'), `weft does not answer; asking again.${shown}`);
}

/** Runs `work` again and again, one at a time, and not while nobody looks. */
function repeat(work: () => Promise<unknown>, everyMs: number): void {
  const turn = async () => {
    if (!document.hidden) await work();
    setTimeout(turn, everyMs);
  };
  void turn();
}

repeat(async () => {
  const failed = await refreshStatus().then(
    () => false,
    () => true,
  );
  failing = failed;
  showFreshness();
}, STATUS_EVERY_MS);
repeat(refreshPeers, PEERS_EVERY_MS);
repeat(async () => {
  if (last !== undefined) await refreshNotable(last).catch(() => {});
}, NOTABLE_EVERY_MS);
