/**
 * What tests run inside the browser, as text: the program's own compiler knows no `document`, and
 * must not learn of it.
 */

/** A sum over the pixels of the throughput plot: it changes when the drawing does. */
export const INK = `(() => {
  const canvas = document.querySelector('#throughput canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, value) => sum + value, 0);
})()`;

/** Name of the element that has the focus; empty where none has. */
export const FOCUSED = `(() => {
  const at = document.activeElement;
  return at === document.body ? '' : at.id || at.textContent.trim();
})()`;

export const BLUR = 'document.activeElement.blur()';

export const WIDTH = 'document.documentElement.scrollWidth';

/** The lowest contrast of text with its ground (WCAG 2, relative luminance). */
export const LEAST_CONTRAST = `(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = parts(colour).map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (from) => {
    for (let at = from; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  let worst = { ratio: 21, text: '' };
  for (const at of document.querySelectorAll('body *:not(svg *)')) {
    const own = [...at.childNodes].find((node) => node.nodeType === 3 && node.data.trim());
    if (own === undefined || at.getClientRects().length === 0) continue;
    const [text, under] = [luminance(getComputedStyle(at).color), luminance(ground(at))];
    const ratio = (Math.max(text, under) + 0.05) / (Math.min(text, under) + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: own.data };
  }
  return worst;
})()`;
