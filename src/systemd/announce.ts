import { createNotifier, type NotifierOptions } from './notify.ts';

/** Often enough for `systemctl start`, which waits for READY; the answer costs nothing. */
const LOOK_EVERY_MS = 250;

export interface AnnounceOptions extends NotifierOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** Why the service is not ready, a sentence each; none where it is. */
  readonly notReady: () => readonly string[];
}

export interface Announcement {
  /** The end has begun. */
  stopping(): void;
  close(): void;
}

/**
 * Tells systemd READY when there is first nothing against it, and from then on keeps its status
 * line true: a service that is not ready any more lives on, for to start it again would not help.
 */
export function announce(options: AnnounceOptions): Announcement {
  const notifier = createNotifier(options.environment, options);
  let ready = false;
  let last = '';
  const look = () => {
    const reasons = options.notReady();
    const text = reasons.length === 0 ? 'ready' : `not ready: ${reasons.join('; ')}`;
    if (text !== last) notifier.status(text);
    last = text;
    if (reasons.length > 0 || ready) return;
    ready = true;
    notifier.ready();
  };
  const asked = (options.environment.NOTIFY_SOCKET ?? '') !== '';
  if (asked) look();
  const timer = asked ? setInterval(look, LOOK_EVERY_MS) : undefined;
  return {
    stopping: () => {
      clearInterval(timer);
      notifier.stopping();
    },
    close: () => {
      clearInterval(timer);
      notifier.close();
    },
  };
}
