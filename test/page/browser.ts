/** Debian's Chromium without a window, for tests of the status page. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { makeFolder } from '../support/maker.ts';
import { inside } from '../support/topology.ts';

const CHROMIUM = '/usr/bin/chromium';

/** A browser, and all that its pages complained of. */
export interface Window {
  readonly browser: Browser;
  /** Errors of scripts, of the policy, of what could not be loaded; one sentence each. */
  readonly complaints: string[];
  open(url: string, options?: OpenOptions): Promise<Page>;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly width?: number;
  readonly dark?: boolean;
}

/** Starts a browser, inside a network namespace if one is named. */
export async function openWindow(namespace?: string): Promise<Window> {
  const folder = makeFolder('browser');
  const executablePath = namespace === undefined ? CHROMIUM : enter(folder, namespace);
  const browser = await chromium.launch({
    executablePath,
    // Root needs the first; the others keep it from the network and from shared memory.
    args: ['--no-sandbox', '--disable-background-networking', '--disable-dev-shm-usage'],
  });
  const complaints: string[] = [];
  return {
    browser,
    complaints,
    open: async (url, { width = 1280, dark = false } = {}) => {
      const page = await browser.newPage({
        viewport: { width, height: 900 },
        colorScheme: dark ? 'dark' : 'light',
      });
      // A browser that shares two cores with everything else may take its time.
      page.setDefaultTimeout(90_000);
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
      });
      await page.goto(url);
      return page;
    },
    close: async () => {
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A program that is Chromium in that namespace: playwright starts one file with its options. */
function enter(folder: string, namespace: string): string {
  const path = join(folder, 'chromium');
  writeFileSync(path, `#!/bin/sh\nexec ${inside(namespace, [CHROMIUM]).join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

/** The text of one element by its id; the empty string where there is none. */
export async function textOf(page: Page, id: string): Promise<string> {
  return (await page.locator(`#${id}`).textContent()) ?? '';
}
