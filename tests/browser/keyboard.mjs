// Checks the front page with the keyboard alone: Tab reaches every control, its focus is visible, and it works.

import { painted, watch } from './browser.mjs';
import { SORT_KEYS, settled } from './front.mjs';
import { orderProblem } from './judge.mjs';

const GROUP = 'keyboard';
const MAX_STOPS = 120;
const FIRST_LINK = 'the first link of the table';

export async function checkKeyboard({ browser, site, report }) {
  const fail = (reason) => report.fail(GROUP, 'index.html', reason);
  const page = await browser.newPage({ reducedMotion: 'reduce' });
  page.setDefaultTimeout(5000);
  watch(page, site, fail);
  await page.goto(site.address('index.html'));
  await painted(page);
  await page.evaluate(rememberShadows);

  const wanted = ['#search', '#family', '#cause', ...SORT_KEYS.map(sortButton), FIRST_LINK];
  const reached = new Set();
  for (let stop = 0; stop < MAX_STOPS && !reached.has(FIRST_LINK); stop += 1) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(readFocus);
    if (!focus) continue;
    report.count(GROUP, 'stops');
    if (!focus.visible) fail(`${focus.name} shows no focus`);
    reached.add(focus.name);
    const key = SORT_KEYS.find((one) => sortButton(one) === focus.name);
    if (key) await pressSort(page, key, fail);
  }
  for (const name of wanted) {
    if (!reached.has(name)) fail(`Tab does not reach ${name}`);
  }
  if (reached.has(FIRST_LINK)) await followLink(page, fail);
  await page.close();
}

const sortButton = (key) => `the sort button ${key}`;

async function pressSort(page, key, fail) {
  await page.keyboard.press('Enter');
  const problem = await settled(page, (state) => orderProblem(state, key));
  if (problem) fail(`Enter on ${sortButton(key)}: ${problem}`);
  const focus = await page.evaluate(readFocus);
  if (focus?.name !== sortButton(key)) fail(`Enter on ${sortButton(key)} loses the focus`);
}

async function followLink(page, fail) {
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/pairs\//, { timeout: 3000 }).catch(() => fail('Enter on the first link opens no pair page'));
}

/** Remembers every element's shadow without focus, to tell a focus ring from decoration. */
function rememberShadows() {
  const elements = [...document.querySelectorAll('*')];
  window.shadowsBefore = new Map(elements.map((element) => [element, getComputedStyle(element).boxShadow]));
}

/** Returns the name of the focused element, and whether its focus is visible. */
function readFocus() {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const links = [...document.querySelectorAll('#catalogue tbody tr a')].filter((link) => link.checkVisibility());
  const name = () => {
    if (element === links[0]) return 'the first link of the table';
    if (element.dataset.sort) return `the sort button ${element.dataset.sort}`;
    return element.id ? `#${element.id}` : `<${element.localName}> ${element.textContent.trim().slice(0, 30)}`;
  };
  const style = getComputedStyle(element);
  const transparent = /^rgba\(.*, 0\)$/.test(style.outlineColor);
  const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 && !transparent;
  const shadowed = style.boxShadow !== (window.shadowsBefore.get(element) ?? 'none');
  return { name: name(), visible: outlined || shadowed };
}
