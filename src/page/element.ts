/**
 * Elements of the page, made without markup in text: what comes from the API is only ever text, and
 * text without a control in it.
 */
import { escapeText } from './text.js';

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
type Child = Node | string;

const SVG = 'http://www.w3.org/2000/svg';

/** Longest is a path of a drawing; it has a number or two for each pixel. */
const MOST_ATTRIBUTE = 1_000_000;

const shown = (child: Child): Child => (typeof child === 'string' ? escapeText(child) : child);

function fill<Made extends Element>(made: Made, attributes: Attributes, children: Child[]): Made {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? '' : escapeText(String(value), MOST_ATTRIBUTE));
  }
  made.append(...children.map(shown));
  return made;
}

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return fill(document.createElement(tag), attributes, children);
}

export function drawing<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[Tag] {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** The element of index.html with that id; its absence is a mistake of ours. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return found;
}

/** Changes a text only where it differs: a selection and a screen reader are left in peace. */
export function setText(node: Node, text: string): void {
  const safe = escapeText(text);
  if (node.textContent !== safe) node.textContent = safe;
}

/** The name of the page's tab. */
export function setTitle(text: string): void {
  document.title = escapeText(text);
}

/** Replaces the children only if their signature is another than the last time. */
export function redraw(parent: Element, signature: string, make: () => Child[]): void {
  if (parent.getAttribute('data-drawn') === signature) return;
  parent.setAttribute('data-drawn', signature);
  parent.replaceChildren(...make().map(shown));
}
