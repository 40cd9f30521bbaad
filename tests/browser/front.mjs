// Checks the front page's search, filters and sorting, and that the address keeps their state.

import { painted, watch } from './browser.mjs';
import { readFront } from './inspect.mjs';
import { hasCause, orderProblem, rowsProblem, statusProblem } from './judge.mjs';

const GROUP = 'front page';
export const SORT_KEYS = ['pair', 'gain', 'break-even', 'limit'];
const HOSTILE = [
  '#q=<img src=x onerror=alert(1)>&sort=__proto__&order=x&family=nope',
  '#q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&cause=constructor',
  '#sort=constructor&order=__proto__&family=%22%5D&cause=__proto__',
  '#q=%E0%A4%A&q=&&=&sort=gain&sort=pair#',
];

export async function checkFrontPage({ browser, site, report }) {
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  const visit = {
    fail: (reason) => report.fail(GROUP, 'index.html', reason),
    /** Counts one checked behaviour, and reports its problem if it has one. */
    verdict(what, problem) {
      report.count(GROUP, 'behaviours');
      if (problem) visit.fail(`${what}: ${problem}`);
    },
    async open(fragment = '') {
      const page = await context.newPage();
      page.setDefaultTimeout(5000);
      watch(page, site, (text) => visit.fail(`${text} (at ${fragment || 'no fragment'})`));
      await page.goto(site.address('index.html', fragment));
      await painted(page);
      return page;
    },
  };
  const page = await visit.open();
  visit.rows = (await page.evaluate(readFront)).rows;
  visit.causes = await page.locator('#cause option').evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
  visit.verdict('controls', await controlsProblem(page, visit.rows));
  visit.verdict('initially', await settled(page, (state) => rowsProblem(state, {})));
  await checkSearch(page, visit);
  await checkSearchByCard(page, visit);
  await checkSelects(page, visit);
  await checkSorting(page, visit);
  await checkGrouping(page, visit);
  await page.close();
  await checkCombination(visit);
  await checkDeepLinks(visit);
  await checkHostile(visit);
  await context.close();
}

// How long a page may take to react, ms.
let patience = 1200;

/** Waits less for a page to react, where a page that does not react is expected. */
export function waitAtMost(ms) {
  patience = ms;
}

/** Repeats until there is no problem or the time is up, because a page may react with a delay. */
export async function settled(page, problemOf) {
  const end = Date.now() + patience;
  for (;;) {
    const problem = problemOf(await page.evaluate(readFront));
    if (!problem || Date.now() > end) return problem;
    await page.waitForTimeout(30);
  }
}

async function controlsProblem(page, rows) {
  if (rows.length === 0) return 'the table has no rows with data-family and data-cause';
  if (rows.some((row) => !row.pair)) return 'a row has no data-pair';
  const keys = rows.flatMap((row) => SORT_KEYS.slice(1).map((key) => row[key])).filter((key) => key !== null);
  const odd = keys.find((key) => key.trim() === '' || Number.isNaN(Number(key)));
  if (odd !== undefined) return `the sort key "${odd}" is not a number`;
  const wanted = ['#controls', 'input[type="search"]#search', 'select#family', 'select#cause', '#shown[role="status"]'];
  wanted.push(...SORT_KEYS.map((key) => `#catalogue thead th button[data-sort="${key}"]`));
  for (const selector of wanted) {
    if (!(await page.locator(selector).isVisible())) return `${selector} is not shown`;
  }
  const linked = await page.locator('#catalogue tbody tr[data-family] > th[scope="row"]:first-child a').count();
  return linked < rows.length ? `only ${linked} of ${rows.length} rows start with a linked th scope="row"` : null;
}

const wordsOf = (pair) => pair.toLowerCase().split(/[^a-z0-9]+/).filter((word) => word.length > 2);

/** Returns the word of a name that most rows have, but not all. */
function someWord(rows) {
  const words = [...new Set(rows.flatMap((row) => wordsOf(row.pair)))];
  const hits = (word) => rows.filter((row) => row.text.includes(word)).length;
  const useful = words.filter((word) => hits(word) < rows.length);
  return useful.sort((left, right) => hits(right) - hits(left) || left.localeCompare(right))[0];
}

async function checkSearch(page, visit) {
  const search = page.locator('#search');
  const word = someWord(visit.rows);
  if (!word) return visit.fail('no search word matches some rows but not all');
  for (let length = 1; length <= word.length; length += 1) {
    await search.press(word[length - 1]);
    const q = word.slice(0, length);
    visit.verdict(`after typing "${q}"`, await settled(page, (state) => rowsProblem(state, { q })));
  }
  const nothing = 'zzqqxx';
  await search.fill(nothing);
  visit.verdict(`after searching "${nothing}"`, await settled(page, (state) => rowsProblem(state, { q: nothing })));
  await search.fill('');
  visit.verdict('after clearing the search', await settled(page, (state) => rowsProblem(state, {})));
}

/** Searches for what naive code looks like: words of a smell, the last first. */
async function checkSearchByCard(page, visit) {
  const search = page.locator('#search');
  const smells = visit.rows.map((row) => row.smell.toLowerCase().match(/[a-z]{4,}/g) ?? []);
  const [words] = smells.filter((all) => new Set(all).size > 2);
  if (!words) return;
  const q = [words.at(-1), words[0]].join(' ');
  await search.fill(q);
  visit.verdict(`after searching the smell "${q}"`, await settled(page, (state) => rowsProblem(state, { q })));
  await search.fill('');
}

const sameSet = (left, right) => JSON.stringify([...new Set(left)].sort()) === JSON.stringify([...new Set(right)].sort());

async function checkSelects(page, visit) {
  for (const name of ['family', 'cause']) {
    const select = page.locator(`#${name}`);
    const [first, ...values] = await select.locator('option').evaluateAll((all) => all.map((one) => one.value));
    if (first !== '') visit.fail(`the first option of #${name} is "${first}"`);
    const known = visit.rows.flatMap((row) => (values.includes(row[name]) ? [row[name]] : row[name].split(/[\s,]+/)));
    const complete = sameSet(known.filter(Boolean), values);
    if (!complete) visit.fail(`#${name} offers ${values.join(', ')}, but the rows have other values`);
    for (const value of [...values, '']) {
      await select.selectOption(value);
      const problem = await settled(page, (state) => rowsProblem(state, { [name]: value }));
      visit.verdict(`after choosing ${name} "${value}"`, problem);
    }
  }
}

async function checkSorting(page, visit) {
  for (const key of SORT_KEYS) {
    const seen = [];
    for (const click of [1, 2]) {
      await page.locator(`#catalogue button[data-sort="${key}"]`).click();
      const problem = await settled(page, (state) => {
        if (seen.includes(state.sorted[0]?.order)) return `the order stays ${seen[0]}`;
        return orderProblem(state, key) ?? rowsProblem(state, { sort: key });
      });
      seen.push((await page.evaluate(readFront)).sorted[0]?.order);
      visit.verdict(`after click ${click} on ${key}`, problem);
    }
  }
}

async function checkGrouping(page, visit) {
  const button = page.locator('#grouped');
  if (!(await button.isVisible())) return visit.fail('a sorted list offers no way back to the families');
  await button.click();
  const problem = await settled(page, (state) => {
    if (state.sorted.length > 0) return 'a heading still has aria-sort';
    return new URLSearchParams(state.fragment).has('sort') ? 'the address still sorts' : rowsProblem(state, {});
  });
  visit.verdict('after grouping by family', problem);
  if (await button.isVisible()) visit.fail('#grouped is shown where nothing is sorted');
}

/** Returns one filter of each kind, so that as many as possible hide rows which the others alone would show. */
function someCombination({ rows, causes }) {
  const matches = (row, { q = '', family, cause }) =>
    row.text.includes(q) && (!family || row.family === family) && (!cause || hasCause(row, cause));
  const number = (want) => rows.filter((row) => matches(row, want)).length;
  const matter = (want) => Object.keys(want).filter((key) => number({ ...want, [key]: undefined }) > number(want)).length;
  const all = rows.flatMap((row) => {
    const { pair, family } = row;
    const cause = causes.find((one) => hasCause(row, one)) ?? '';
    return wordsOf(pair).map((q) => ({ q, family, cause }));
  });
  return all.map((want) => ({ want, score: matter(want) })).sort((left, right) => right.score - left.score)[0].want;
}

async function checkCombination(visit) {
  const want = someCombination(visit);
  const page = await visit.open();
  await page.locator('#search').fill(want.q);
  await page.locator('#family').selectOption(want.family);
  await page.locator('#cause').selectOption(want.cause);
  await page.locator('#catalogue button[data-sort="gain"]').click();
  const combined = await settled(page, (state) => rowsProblem(state, { ...want, sort: 'gain' }));
  visit.verdict(`after combining ${Object.values(want).join(' + ')}`, combined);

  const before = await page.evaluate(readFront);
  const fresh = await visit.open(`#${before.fragment}`);
  visit.verdict(`opened at #${before.fragment}`, await settled(fresh, (state) => differenceProblem(before, state)));
  await fresh.close();

  await page.locator('#search').fill('');
  await page.locator('#family').selectOption('');
  await page.locator('#cause').selectOption('');
  visit.verdict('after clearing all', await settled(page, (state) => rowsProblem(state, {})));
  await page.close();
}

function differenceProblem(before, after) {
  const shown = (state) => state.rows.filter((row) => row.shown).map((row) => row.text);
  for (const part of ['values', 'sorted', 'status']) {
    const [was, now] = [before, after].map((state) => JSON.stringify(state[part]));
    if (was !== now) return `${part} was ${was} and is now ${now}`;
  }
  return JSON.stringify(shown(before)) === JSON.stringify(shown(after)) ? null : 'other rows are shown, or in another order';
}

async function checkDeepLinks(visit) {
  const { family } = visit.rows.at(-1);
  const word = someWord(visit.rows);
  const wants = [
    { family, sort: 'gain', order: 'descending' },
    { q: word, sort: 'gain', order: 'ascending' },
    { cause: visit.causes.at(-1) ?? '', sort: 'limit', order: 'ascending' },
    { sort: 'break-even', order: 'descending' },
  ];
  const open = await visit.open();
  for (const want of wants) {
    const fragment = `#${new URLSearchParams(want)}`;
    const fresh = await visit.open(fragment);
    visit.verdict(`opened at ${fragment}`, await settled(fresh, (state) => linkedProblem(state, want)));
    await fresh.close();
    // The Back button and an edited address change the fragment of a page that is already open.
    await open.goto(new URL(fragment, open.url()).href);
    visit.verdict(`address changed to ${fragment}`, await settled(open, (state) => linkedProblem(state, want)));
  }
  await open.close();
}

function linkedProblem(state, want) {
  const { q = '', family = '', cause = '' } = want;
  const values = JSON.stringify({ q, family, cause });
  if (JSON.stringify(state.values) !== values) return `the controls hold ${JSON.stringify(state.values)}`;
  return rowsProblem(state, want) ?? orderProblem(state, want.sort, want.order);
}

async function checkHostile(visit) {
  for (const fragment of HOSTILE) {
    const page = await visit.open(fragment);
    const problem = await settled(page, (state) => {
      if (state.images > 0) return 'the fragment became an element';
      const shown = state.rows.filter((row) => row.shown).length;
      return statusProblem(state.status, shown, visit.rows.length);
    });
    visit.verdict(`opened at ${fragment}`, problem);
    await page.close();
  }
}
