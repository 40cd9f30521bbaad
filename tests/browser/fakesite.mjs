// A small site that passes all checks, into which selftest.mjs injects faults.

import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const SECTIONS = ['finding', 'gain', 'review', 'input', 'code', 'metric', 'causes', 'limit', 'reproduce', 'samples'];
const PAIRS = [
  // The gains sort differently as text and as numbers.
  // Some names share a word across families and causes, so that every filter of a combination matters.
  { pair: 'caching/cache_warm', family: 'caching', cause: 'computations', gain: 2, limit: 7 },
  { pair: 'caching/memoize', family: 'caching', cause: 'computations', gain: 9.5, limit: 100 },
  { pair: 'caching/query_cache', family: 'caching', cause: 'round-trips', gain: 120, limit: 20 },
  { pair: 'caching/single_flight', family: 'caching', cause: 'round-trips', gain: 5, limit: 8 },
  { pair: 'io/buffered_write', family: 'io', cause: 'system-calls', gain: 33, limit: 3 },
  { pair: 'queries/cached_plan', family: 'queries', cause: 'round-trips', gain: 3.5, limit: 50 },
  { pair: 'queries/index', family: 'queries', cause: 'computations', gain: 1000 },
  { pair: 'queries/n_plus_one', family: 'queries', cause: 'round-trips' },
];

const STYLE = `
:root { color-scheme: light dark; --ink: #111; --paper: #fff; --link: #0645ad; }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --paper: #111; --link: #9cf; } }
body { margin: 1rem; font: 16px/1.5 sans-serif; color: var(--ink); background: var(--paper); }
h1 { overflow-wrap: anywhere; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); }
.scroll { overflow-x: auto; }
svg { width: 100%; height: 60px; }
svg text { fill: var(--ink); font-size: 12px; }
@media print { nav, #controls { display: none; } }`;

const SCRIPT = `
const id = (name) => document.getElementById(name);
const rows = [...document.querySelectorAll('#catalogue tr[data-pair]')];
const state = () => new URLSearchParams(location.hash.slice(1));
const number = (row, key) => parseFloat(row.getAttribute('data-' + key));
const known = (row, key) => row.hasAttribute('data-' + key);
function compare(a, b, key, step) {
  if (key === 'pair') return step * a.dataset.pair.localeCompare(b.dataset.pair);
  if (known(a, key) !== known(b, key)) return known(a, key) ? -1 : 1;
  return known(a, key) ? step * (number(a, key) - number(b, key)) : 0;
}
function show() {
  const now = state();
  id('search').value = now.get('q') ?? '';
  for (const name of ['family', 'cause']) {
    id(name).value = now.get(name) ?? '';
    if (id(name).selectedIndex < 0) id(name).value = '';
  }
  const chosen = (row) => ['family', 'cause'].every((name) => !id(name).value || row.dataset[name] === id(name).value);
  const text = id('search').value.toLowerCase();
  const words = text.split(' ');
  const has = (row, word) => (row.textContent + row.dataset.words).toLowerCase().includes(word);
  for (const row of rows) row.hidden = !(chosen(row) && words.every((word) => has(row, word)));
  id('shown').textContent = rows.filter((row) => !row.hidden).length + ' of ' + rows.length + ' rows';
  const button = [...document.querySelectorAll('[data-sort]')].find((one) => one.dataset.sort === now.get('sort'));
  const order = now.get('order') === 'descending' ? 'descending' : 'ascending';
  for (const th of document.querySelectorAll('th[aria-sort]')) th.removeAttribute('aria-sort');
  const parts = [...document.querySelectorAll('#catalogue tbody')];
  const own = (part) => rows.filter((row) => row.dataset.family === part.id);
  for (const part of parts) part.rows[0].hidden = Boolean(button) || own(part).every((row) => row.hidden);
  id('grouped').hidden = !button;
  if (!button) return void parts.forEach((part) => part.append(...own(part)));
  button.parentElement.setAttribute('aria-sort', order);
  // Only the rows move, so the button keeps the focus.
  const sorted = [...rows].sort((a, b) => compare(a, b, button.dataset.sort, order === 'ascending' ? 1 : -1));
  parts[0].append(...sorted);
}
function set(values) {
  const now = state();
  for (const [key, value] of Object.entries(values)) value ? now.set(key, value) : now.delete(key);
  history.replaceState(null, '', '#' + now);
  show();
}
id('controls').hidden = false;
id('search').addEventListener('input', (event) => set({ q: event.target.value }));
for (const name of ['family', 'cause']) id(name).addEventListener('change', (event) => set({ [name]: event.target.value }));
for (const button of document.querySelectorAll('[data-sort]')) {
  button.addEventListener('click', () => {
    const again = state().get('sort') === button.dataset.sort && state().get('order') === 'ascending';
    set({ sort: button.dataset.sort, order: again ? 'descending' : 'ascending' });
  });
}
id('grouped').addEventListener('click', () => set({ sort: '', order: '' }));
addEventListener('hashchange', show);
show();`;

const chart = (text) =>
  `<div class="chart" role="img" aria-label="${text}"><svg><text x="4" y="20">${text} 3× σ → −1</text></svg></div>`;

const table = (label, text) =>
  `<div class="scroll" role="region" tabindex="0" aria-label="${label}"><table><tr><td>${text}</td></tr></table></div>`;

const smellOf = ({ pair }) => `Somebody wrote ${pair.split('/')[1].replaceAll('_', '-')} carelessly`;

const strip = (family) => `<div><svg aria-hidden="true"><text x="4" y="20">${family}</text></svg></div>`;

function frontBody() {
  const families = [...new Set(PAIRS.map((pair) => pair.family))];
  const part = (family) => `<tbody id="${family}"><tr class="family"><th scope="rowgroup"><span role="heading" aria-level="2">${family}</span></th>
<td>${strip(family)}</td></tr>${PAIRS.filter((pair) => pair.family === family).map(row).join('\n')}</tbody>`;
  const options = (key) =>
    [...new Set(PAIRS.map((pair) => pair[key]))].map((value) => `<option value="${value}">${value}</option>`).join('');
  const select = (key) =>
    `<label>${key} <select id="${key}"><option value="">all</option>${options(key)}</select></label>`;
  const head = ['pair', 'gain', 'break-even', 'limit'].map(
    (key) => `<th scope="col"><button type="button" data-sort="${key}">${key}</button></th>`,
  );
  const row = (one) => {
    const keys = ['gain', 'limit'].filter((key) => one[key]).map((key) => `data-${key}="${one[key]}"`);
    return `<tr data-pair="${one.pair}" data-family="${one.family}" data-cause="${one.cause}" ${keys.join(' ')} data-words="remedy">
<th scope="row"><a href="pairs/${one.pair}.html">${one.pair}</a> <span class="smell">${smellOf(one)}</span></th><td>${one.gain ?? 'unknown'}</td><td>unknown</td><td>${one.limit ?? 'unknown'}</td></tr>`;
  };
  return `<div id="controls" hidden><label>Search <input type="search" id="search"></label>
${select('family')}${select('cause')}</div><p id="shown" role="status">${PAIRS.length} of ${PAIRS.length} rows</p>
<button type="button" id="grouped" hidden>group</button><div class="scroll"><table id="catalogue"><thead><tr>${head.join('')}</tr></thead>${families.map(part).join('\n')}</table></div>
<p><a href="#family=io">io only</a> <a href="pairs/io/buffered_write.html#gain">the gain</a> <a class="outside" href="../criterion/index.html">samples</a></p>`;
}

function sitePages() {
  const page = (path, body, script = '') => ({ path, style: STYLE, script, body, policy: "default-src 'none'" });
  const sections = SECTIONS.map((id) => `<section id="${id}"><h2>${id}</h2><p>Text.</p></section>`).join('\n');
  return [
    page('index.html', frontBody(), SCRIPT),
    page('scaling.html', chart('scaling')),
    page('machine.html', '<p>One machine.</p>'),
    page('portability.html', table('Pairs', 'holds on 2 of 3')),
    ...PAIRS.map(({ pair }) => page(`pairs/${pair}.html`, chart('gain') + sections)),
    { ...page('pairs/queries/earlier_id.html', ''), leadsTo: '../../pairs/queries/index.html' },
  ];
}

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

function render({ path, style, script, body, policy, leadsTo }) {
  const up = '../'.repeat(path.split('/').length - 1);
  const entry = (name) => ` <a href="${up}${name}.html">${name}</a>`;
  const entries = ['scaling', 'machine', 'portability'].map(entry).join('');
  const csp = `${policy}; style-src ${hash(style)}; script-src ${script ? hash(script) : "'none'"}`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${csp}">
${leadsTo ? `<meta http-equiv="refresh" content="0; url=${leadsTo}">` : ''}<meta name="viewport" content="width=device-width"><title>${path}</title><style>${style}</style></head>
<body><nav aria-label="Site"><a href="${up}index.html">All pairs</a>${entries}</nav><main><h1>${path}</h1>${body}</main>
${script ? `<script>${script}</script>` : ''}</body></html>`;
}

/** Writes the site to `folder`. `edit` may change each page, or leave it out by returning false. */
export function writeFakeSite(folder, edit = () => true) {
  for (const page of sitePages()) {
    if (edit(page) === false) continue;
    mkdirSync(dirname(join(folder, page.path)), { recursive: true });
    writeFileSync(join(folder, page.path), render(page));
  }
}
