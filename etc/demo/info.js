// Answers about a point. What a source says is nobody's word but its own: no markup of it reaches the page. HTML is read in a
// document that runs and loads nothing, and its text is put into elements made here, of a few kinds and without attributes.

const SHOWN_CHARACTERS_MAX = 200_000;
const SHOWN_ELEMENTS_MAX = 5_000;
const SHOWN_DEPTH_MAX = 40;

const KEPT = new Set('P DIV SECTION ARTICLE UL OL LI DL DT DD TABLE CAPTION THEAD TBODY TFOOT TR TH TD PRE BLOCKQUOTE HR BR B STRONG I EM U S SMALL SUB SUP CODE SPAN A'.split(' '));
const HEADINGS = new Set('H1 H2 H3 H4 H5 H6'.split(' '));
const DROPPED = new Set('SCRIPT STYLE TEMPLATE NOSCRIPT IFRAME OBJECT EMBED FRAME FRAMESET SVG MATH HEAD TITLE LINK META BASE TEXTAREA SELECT OPTION BUTTON AUDIO VIDEO CANVAS'.split(' '));

// The answer as elements: `{ shown, raw }`; `raw` is its text as it came where `shown` is not just that.
export function presented(type, body) {
  const mime = type.split(';')[0].trim().toLowerCase();
  if (!body.trim()) return { shown: note('Nothing is known of this place.') };
  const raw = block(body);
  if (mime === 'text/html' || mime === 'application/xhtml+xml') return { shown: fromHtml(body), raw };
  if (mime === 'application/json' || mime.endsWith('+json')) return { shown: fromJson(body), raw };
  return { shown: raw };
}

export function note(text) {
  const paragraph = document.createElement('p');
  paragraph.className = 'note';
  paragraph.textContent = text;
  return paragraph;
}

function block(text) {
  const pre = document.createElement('pre');
  pre.textContent = text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
  return pre;
}

function fromHtml(text) {
  const parsed = new DOMParser().parseFromString(bare(text.slice(0, SHOWN_CHARACTERS_MAX)), 'text/html');
  const holder = document.createElement('div');
  holder.className = 'told-html';
  const budget = { elements: SHOWN_ELEMENTS_MAX };
  rebuild(parsed.body, holder, budget, 0);
  if (budget.elements <= 0) holder.append(note('The answer is longer than what is shown here.'));
  return holder.textContent.trim() ? holder : note('The answer is a page without text.');
}

// HTML without scripts, styles and attributes, but for those that are looked at. This keeps nobody safe, `rebuild` does; but a
// parser tells each style and handler that the page's policy forbids on the console, one by one and in vain.
function bare(html) {
  let text = '';
  let at = 0;
  while (at < html.length) {
    const from = html.indexOf('<', at);
    if (from < 0) return text + html.slice(at);
    text += html.slice(at, from);
    const name = /^<\/?([a-z][^\s/>]*)/i.exec(html.slice(from, from + 40));
    if (!name) {
      text += '<';
      at = from + 1;
      continue;
    }
    const end = endOfTag(html, from + name[0].length);
    const isDropped = DROPPED.has(name[1].toUpperCase());
    text += isDropped ? ' ' : `${name[0]}${keptAttributes(html.slice(from + name[0].length, end))}>`;
    at = end + 1;
    if (isDropped && RAW.test(name[1]) && name[0][1] !== '/') {
      const rest = html.slice(at).search(new RegExp(`</${name[1]}`, 'i'));
      if (rest < 0) return text;
      at += rest;
    }
  }
  return text;
}

// Elements whose content is no markup.
const RAW = /^(script|style|textarea|title|iframe|noscript)$/i;

function endOfTag(html, from) {
  let at = from;
  while (at < html.length && html[at] !== '>') {
    const isQuote = html[at] === '"' || html[at] === "'";
    const close = isQuote ? html.indexOf(html[at], at + 1) : at;
    at = (close < 0 ? html.length : close) + 1;
  }
  return at;
}

function keptAttributes(text) {
  const found = text.matchAll(/\s(href|colspan|rowspan)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)/gi);
  return [...found].map(([, name, value]) => ` ${name}=${value}`).join('');
}

function rebuild(from, to, budget, depth) {
  for (const node of from.childNodes) {
    if (budget.elements <= 0 || depth > SHOWN_DEPTH_MAX) return;
    if (node.nodeType === Node.TEXT_NODE) {
      to.append(node.data);
      continue;
    }
    if (node.nodeType !== Node.ELEMENT_NODE || DROPPED.has(node.tagName.toUpperCase())) continue;
    budget.elements -= 1;
    const name = node.tagName.toUpperCase();
    if (HEADINGS.has(name)) {
      to.append(filled(document.createElement('h3'), node, budget, depth));
    } else if (name === 'A') {
      to.append(filled(linkOf(node), node, budget, depth));
    } else if (KEPT.has(name)) {
      const element = document.createElement(name);
      for (const span of ['colspan', 'rowspan']) {
        const cells = Number(node.getAttribute(span));
        if ((name === 'TD' || name === 'TH') && cells > 1 && cells < 100) element.setAttribute(span, String(cells));
      }
      to.append(filled(element, node, budget, depth));
    } else {
      rebuild(node, to, budget, depth + 1);
    }
  }
}

function filled(element, node, budget, depth) {
  rebuild(node, element, budget, depth + 1);
  return element;
}

// A link is kept where it leads to a page, and says where.
function linkOf(node) {
  const address = URL.canParse(node.getAttribute('href') ?? '') ? new URL(node.getAttribute('href')) : null;
  if (!address || !['http:', 'https:'].includes(address.protocol)) return document.createElement('span');
  const link = document.createElement('a');
  link.href = address.href;
  link.title = address.href;
  link.target = '_blank';
  link.rel = 'noopener noreferrer nofollow';
  return link;
}

function fromJson(text) {
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    return block(text);
  }
  const features = Array.isArray(parsed?.features) ? parsed.features.filter((feature) => feature && typeof feature === 'object') : [];
  if (!features.length) return block(JSON.stringify(parsed, null, 2));
  const holder = document.createElement('div');
  for (const feature of features.slice(0, 100)) holder.append(tableOf(feature));
  if (features.length > 100) holder.append(note(`${features.length - 100} more features are not shown.`));
  return holder;
}

function tableOf(feature) {
  const table = document.createElement('table');
  if (feature.id !== undefined) table.createCaption().textContent = String(feature.id);
  const properties = feature.properties && typeof feature.properties === 'object' ? feature.properties : feature;
  for (const [name, value] of Object.entries(properties).slice(0, 200)) {
    const row = table.insertRow();
    const head = document.createElement('th');
    head.scope = 'row';
    head.textContent = name;
    row.append(head);
    row.insertCell().textContent = value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
  return table;
}
