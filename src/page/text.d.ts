/** Built from src/untrusted/text.ts and laid beside the page's modules by scripts/build.sh. */
export { escapeText } from '../untrusted/text.ts';
