import { fileURLToPath } from 'node:url';
import { compareFlags } from '../../src/cli/flags.ts';
import { renderApi } from './api.ts';
import { renderCli } from './cli.ts';
import { renderConfiguration } from './configuration.ts';
import { renderManual } from './manual.ts';
import { renderMetricsPage } from './metrics.ts';

/** One generated page. */
export interface Page {
  /** Below the root of the project. */
  readonly path: string;
  readonly render: () => string;
}

/** Built files lie at dist/scripts/docs. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Every page that is written by a program and not by a person. */
export const PAGES: readonly Page[] = [
  { path: 'docs/metrics.md', render: renderMetricsPage },
  { path: 'docs/configuration.md', render: renderConfiguration },
  { path: 'docs/cli.md', render: renderCli },
  { path: 'docs/flannel-flags.md', render: () => compareFlags('markdown') },
  { path: 'docs/api.md', render: renderApi },
  { path: 'docs/man/weft.1', render: renderManual },
];
