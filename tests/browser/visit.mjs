// Checks that every page is quiet, self-contained, linked, labelled, laid out and printable.

import { onPages, painted, watch } from './browser.mjs';
import { emptyCharts, readLayout, readPage, readPrint, readSections } from './inspect.mjs';
import { linkProblem } from './site.mjs';

const WIDTHS = [360, 480, 768, 1000, 1280, 1600];
// From here on there is room for two charts side by side.
const TWO_CHARTS = 1000;
const SMALLEST_TEXT = 9;
// Pages of which nothing scrolls sideways. (Tables of runs and revisions do.)
const FITTING = /^(pairs\/|scaling|portability)/;
// Pages that show prose of pairs.
const WITH_PROSE = /^(pairs\/|index)/;
const REQUIRED_PAGES = ['index.html', 'scaling.html', 'machine.html'];
const SECTIONS = ['finding', 'gain', 'review', 'input', 'code', 'metric', 'causes', 'limit', 'reproduce', 'samples'];

/** Loads every page once and checks everything that needs no interaction. */
export async function checkEveryPage({ browser, site, report }) {
  const found = new Map();
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  const names = new WeakMap();
  await onPages(context, site.visited, 3, async (name, page) => {
    if (!names.has(page)) watch(page, site, (text) => report.fail('quiet', names.get(page), text));
    names.set(page, name);
    await page.setViewportSize({ width: WIDTHS[0], height: 800 });
    await page.goto(site.address(name));
    await painted(page);
    report.count('quiet', 'pages');
    found.set(name, await page.evaluate(readPage));
    checkPolicy(name, found.get(name), report);
    await checkLayout(name, page, report);
    await checkPrint(name, page, report);
  });
  await context.close();
  checkPages(site, found, report);
  checkLinks(site, found, report);
}

function checkPolicy(name, facts, report) {
  report.count('policy', 'pages');
  const fail = (reason) => report.fail('policy', name, reason);
  if (facts.policies.length === 0) fail('no Content-Security-Policy');
  for (const { content, late } of facts.policies) {
    if (!/(^|;)\s*default-src\s+'none'\s*(;|$)/.test(content)) fail("the policy lacks default-src 'none'");
    const loose = content.match(/'unsafe-[a-z-]+'|\shttps?:|\s\*/g);
    if (loose) fail(`the policy allows ${loose.map((part) => part.trim()).join(', ')}`);
    if (late) fail('the policy comes after a style or script, which it therefore does not govern');
  }
  for (const attribute of facts.attributes) fail(`attribute ${attribute}`);
  for (const address of facts.remote) fail(`remote resource ${address}`);
  for (const id of facts.repeatedIds) fail(`the id ${id} is used twice`);
  if (WITH_PROSE.test(name)) for (const text of facts.backticks) fail(`a backtick is printed: ${text}`);
  report.count('charts', 'charts', facts.charts);
  for (const chart of facts.unlabelled) {
    report.fail('charts', name, `${chart} is in no role="img" element with an aria-label`);
  }
}

async function checkLayout(name, page, report) {
  // Folded parts must also fit once they are opened.
  await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)));
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const layout = await page.evaluate(readLayout);
    const fail = (reason) => report.fail('layout', name, `at ${width} px ${reason}`);
    if (layout.scrollWidth > layout.clientWidth) {
      fail(`the page is ${layout.scrollWidth} px wide, ${layout.culprit}`);
    }
    for (const chart of layout.overflowing) fail(`a chart is wider than its container: ${chart}`);
    for (const table of layout.hiddenTables) fail(`a table is cut off and cannot be scrolled: ${table}`);
    if (FITTING.test(name)) {
      for (const element of layout.cut) fail(`a part is cut: ${element}`);
      if (width >= TWO_CHARTS) for (const chart of layout.alone) fail(`a chart fills only the left half: ${chart}`);
      if (layout.cardIsLate) fail('the review card comes after the samples');
    }
    report.count('layout', 'layouts');
    if (width !== WIDTHS[0]) continue;
    report.count('layout', 'chart texts', layout.texts.length);
    for (const { text, size } of layout.texts) {
      if (size < SMALLEST_TEXT - 0.05) fail(`chart text "${text}" is ${size.toFixed(1)} px high`);
    }
  }
}

async function checkPrint(name, page, report) {
  await page.emulateMedia({ media: 'print' });
  report.count('print', 'pages');
  for (const shown of await page.evaluate(readPrint)) report.fail('print', name, `${shown} is printed`);
  await page.emulateMedia({ media: 'screen' });
}

function checkPages(site, found, report) {
  for (const page of REQUIRED_PAGES) {
    if (!site.pages.includes(page)) report.fail('links', page, 'the page is missing');
  }
  if (site.pairs.length === 0) report.fail('links', 'pairs/', 'the site has no pair pages');
  const charts = [...found.values()].reduce((sum, facts) => sum + facts.charts, 0);
  if (charts === 0) report.fail('charts', 'index.html', 'the whole site has no chart');
}

function checkLinks(site, found, report) {
  const idsOf = new Map([...found].map(([page, facts]) => [page, new Set(facts.ids)]));
  for (const [page, { links }] of found) {
    report.count('links', 'links', links.length);
    for (const link of links) {
      const problem = linkProblem(site, link, idsOf);
      if (problem) report.fail('links', page, problem);
    }
  }
  for (const [page, target] of site.redirects) {
    if (!site.pages.includes(target)) report.fail('links', page, `it leads to ${target}, which is no page`);
  }
  const linked = new Set(found.get('index.html').links.map((link) => link.url.split('#')[0]));
  for (const page of site.pages.filter((one) => one !== 'index.html')) {
    if (!linked.has(site.address(page))) report.fail('links', page, 'the front page does not link here');
  }
}

/** Checks that without JavaScript nothing is missing, and that controls, which would do nothing, are hidden. */
export async function checkWithoutScript({ browser, site, report }) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  await onPages(context, ['index.html', ...site.pairs.filter((page) => site.visited.includes(page))], 3, async (name, page) => {
    await page.goto(site.address(name));
    report.count('no JavaScript', 'pages');
    const fail = (reason) => report.fail('no JavaScript', name, reason);
    const wanted = name === 'index.html' ? [] : SECTIONS;
    const { missing, hiddenHeadings, hiddenRows, rows, controls, empty } = await page.evaluate(readSections, wanted);
    for (const id of missing) fail(`the section #${id} is not shown`);
    for (const id of empty) fail(`the section #${id} is empty`);
    if (name !== 'index.html') return;
    if (rows === 0) fail('the table has no rows');
    if (hiddenRows > 0) fail(`${hiddenRows} of ${rows} rows are not shown`);
    if (hiddenHeadings > 0) fail(`${hiddenHeadings} headings of families are not shown`);
    if (controls) fail('#controls is shown');
  });
  await context.close();
}

export async function checkPdf({ browser, site, report }) {
  const name = site.pairs[0] ?? 'index.html';
  const page = await browser.newPage();
  await page.goto(site.address(name));
  report.count('PDF', 'page');
  const pdf = await page.pdf();
  if (pdf.subarray(0, 5).toString() !== '%PDF-' || pdf.length < 2000) report.fail('PDF', name, 'the PDF is empty');
  await page.emulateMedia({ media: 'print' });
  const text = await page.evaluate(() => document.body.innerText.trim());
  if (text.length < 50) report.fail('PDF', name, 'nothing is left of the page in print');
  for (const chart of await page.evaluate(emptyCharts)) report.fail('PDF', name, `${chart} is not printed`);
  await page.close();
}
