import { byId, element, redraw } from '../element.ts';
import type { Finding, Level } from '../findings.ts';

/** A mark of its own shape and a word for each level: colour is never alone. */
const MARKS: Readonly<Record<Level, readonly [mark: string, word: string]>> = {
  bad: ['✕', 'Fault'],
  warn: ['!', 'Warning'],
  note: ['i', 'Note'],
};

/** The list of what is wrong; its heading says how bad it is. */
export function showFindings(found: readonly Finding[]): void {
  const list = byId('findings');
  const level = found[0]?.level ?? 'fine';
  byId('findings-card').setAttribute('data-level', level);
  redraw(list, JSON.stringify(found), () => {
    if (found.length === 0) {
      return [
        item('fine', '✓', 'Fine', 'Nothing: everything that weft can see is as it should be.', ''),
      ];
    }
    return found.map(({ level, text, cure }) => {
      const [mark, word] = MARKS[level];
      return item(level, mark, word, text, cure);
    });
  });
}

function item(
  level: string,
  mark: string,
  word: string,
  text: string,
  cure: string,
): HTMLLIElement {
  return element(
    'li',
    { 'data-level': level },
    element('span', { class: 'mark', role: 'img', 'aria-label': word }, mark),
    element(
      'div',
      {},
      element('b', {}, text),
      ...(cure === '' ? [] : [element('p', { class: 'quiet' }, cure)]),
    ),
  );
}
