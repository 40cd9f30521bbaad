// Tests the checks: a correct site passes, and the right check finds each injected fault for the right
// reason. Run it after changing a check: node selftest.mjs [WORD OF A FAULT]

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CannotRun, openBrowser } from './browser.mjs';
import { checkSite } from './checks.mjs';
import { writeFakeSite } from './fakesite.mjs';
import { waitAtMost } from './front.mjs';
import { readSite } from './site.mjs';

/** Edits of a page. Replacing text that is not there would inject no fault, so it is an error. */
const on = (path, edit) => (page) => (page.path === path ? edit(page) : true);
const add = (path, html) => on(path, (page) => void (page.body += html));
const change = (path, part, from, to) =>
  on(path, (page) => {
    if (!page[part].includes(from)) throw new Error(`${path} has no ${from}`);
    page[part] = page[part].replaceAll(from, to);
  });
const front = (from, to) => change('index.html', 'script', from, to);
const table = (from, to) => change('index.html', 'body', from, to);
const style = (path, css) => on(path, (page) => void (page.style += css));
const both = (first, second) => (page) => [first(page), second(page)].every((kept) => kept !== false);
const MACHINE = 'machine.html';
const PAIR = 'pairs/io/buffered_write.html';
// Pages of pairs that are loaded for a single fault: those that faults edit or unlink.
const VISITED = new Set([PAIR, 'pairs/queries/index.html']);

// Each fault: its name, the step that must find it, the failure that the step must report, and the edit.
const FAULTS = [
  ['console message', 'pages', /console log: hello/, on(MACHINE, (page) => void (page.script = 'console.log("hello")'))],
  ['script error', 'pages', /error: .*nothing/, on(MACHINE, (page) => void (page.script = 'nothing.at.all'))],
  ['blocked script', 'pages', /console error/, add(MACHINE, '<script>1</script>')],
  ['remote image', 'pages', /remote resource https:\/\/example.com/, add(MACHINE, '<img alt="" src="https://example.com/a.png">')],
  ['remote request', 'pages', /request outside the site/, on(MACHINE, (page) => {
    page.policy = "default-src 'none'; img-src example.com";
    page.body += '<img alt="" src="https://example.com/a.png">';
  })],
  ['missing file', 'pages', /failed request/, on(MACHINE, (page) => {
    page.policy = "default-src 'none'; img-src file:";
    page.body += '<img alt="" src="missing.png">';
  })],
  ['dead link', 'pages', /dead link nowhere.html/, add(MACHINE, '<a href="nowhere.html">x</a>')],
  ['missing fragment', 'pages', /#nowhere names no id/, table('.html#gain', '.html#nowhere')],
  ['link to an unknown state', 'pages', /sets the unknown colour/, table('#family=io', '#colour=red')],
  ['unmarked outside link', 'pages', /without the class "outside"/, table('class="outside"', '')],
  ['absolute link', 'pages', /is absolute/, add(MACHINE, '<a href="/etc/hostname">x</a>')],
  ['script link', 'pages', /has the scheme javascript/, add(MACHINE, '<a href="javascript:1">x</a>')],
  ['missing page', 'pages', /machine.html: the page is missing/, on(MACHINE, () => false)],
  ['page without a row', 'pages', /does not link here/, table('href="pairs/queries/index.html"', 'href="machine.html"')],
  ['page without an entry', 'pages', /scratch.html: the front page does not link here/, on('portability.html', (page) => void (page.path = 'scratch.html'))],
  ['earlier id that leads nowhere', 'pages', /it leads to pairs\/gone.html, which is no page/, on('pairs/queries/earlier_id.html', (page) => void (page.leadsTo = '../../pairs/gone.html'))],
  ['no policy', 'pages', /lacks default-src/, change(MACHINE, 'policy', 'default-src', 'img-src')],
  ['loose policy', 'pages', /allows 'unsafe-inline'/, change(MACHINE, 'policy', "'none'", "'none'; font-src 'unsafe-inline'")],
  ['style attribute', 'pages', /attribute style on <p>/, add(MACHINE, '<p style="color: red">x</p>')],
  ['event attribute', 'pages', /attribute onclick on <p>/, add(MACHINE, '<p onclick="x()">x</p>')],
  ['repeated id', 'pages', /gain is used twice/, add(PAIR, '<p id="gain">x</p>')],
  ['unlabelled chart', 'pages', /<svg> in <div> is in no role="img"/, change(PAIR, 'body', 'aria-label="gain"', 'aria-label=" "')],
  ['chart without words', 'pages', /<svg> in <div> is in no role="img"/, table('<span role="heading" aria-level="2">io</span>', '')],
  ['wide table', 'pages', /at 360 px the page is \d+ px wide/, add(MACHINE, `<table><tr><td>${'x'.repeat(60)}</td></tr></table>`)],
  ['wide chart', 'pages', /wider than its container/, style(PAIR, 'main { overflow: clip; } svg { width: 2000px; }')],
  ['chart on the left', 'pages', /at 1280 px a chart fills only the left half/, style(PAIR, 'svg { width: 40%; }')],
  ['cut table', 'pages', /at 360 px a part is cut: .* Cases/, add(PAIR, `<div class="scroll" role="region" tabindex="0" aria-label="Cases"><table><tr><td>${'x'.repeat(60)}</td></tr></table></div>`)],
  ['cut table of medium width', 'pages', /at 1000 px a part is cut/, both(add('scaling.html', '<div class="scroll"><p class="broad">x</p></div>'), style('scaling.html', '@media (min-width: 1000px) and (max-width: 1100px) { .broad { width: 1200px; } }'))],
  ['cut off table', 'pages', /at 360 px a table is cut off and cannot be scrolled: Speedups/, both(add('scaling.html', `<div class="frame"><table><caption>Speedups</caption><tr><td>${'x'.repeat(60)}</td></tr></table></div>`), style('scaling.html', '.frame { overflow: hidden; }'))],
  ['cut table of machines', 'pages', /portability.html: at 360 px a part is cut: .* Pairs/, change('portability.html', 'body', 'holds on', 'x'.repeat(60))],
  ['late card', 'pages', /the review card comes after the samples/, style(PAIR, 'main { display: flex; flex-direction: column; } #review { order: 1; }')],
  ['printed backtick', 'pages', /a backtick is printed: a `Vec`/, add(PAIR, '<p>a `Vec` <code>`</code></p>')],
  ['small chart text', 'pages', /"gain 3.*" is 8.0 px/, style(PAIR, 'svg text { font-size: 8px; }')],
  ['scaled chart text', 'pages', /"gain 3.*" is [0-8]\.\d px/, change(PAIR, 'body', '<svg>', '<svg viewBox="0 0 1000 60">')],
  ['printed navigation', 'pages', /<nav> is printed/, style(PAIR, '@media print { nav { display: block; } }')],
  ['blank print', 'pdf', /nothing is left/, style('pairs/caching/cache_warm.html', '@media print { body > * { display: none; } }')],
  ['rows only by script', 'noScript', /rows are not shown/, table('<tr data-pair', '<tr hidden data-pair')],
  ['headings only by script', 'noScript', /headings of families are not shown/, table('<tr class="family"', '<tr class="family" hidden')],
  ['controls without script', 'noScript', /#controls is shown/, table('id="controls" hidden', 'id="controls"')],
  ['missing section', 'noScript', /#review is not shown/, change(PAIR, 'body', 'id="review"', 'id="revue"')],
  ['hidden section', 'noScript', /#review is not shown/, change(PAIR, 'body', 'id="review"', 'id="review" hidden')],
  ['search only on change', 'front', /after typing/, front("'input'", "'blur'")],
  ['search that finds too much', 'front', /after typing .* is shown/, front('.includes(word)', '.includes(word.slice(0, -1))')],
  ['search that finds too little', 'front', /after typing .* is not shown/, front('.includes(word)', '.startsWith(word)')],
  ['search in one order only', 'front', /after searching the smell .* is not shown/, front('words.every((word) => has(row, word))', 'has(row, text)')],
  ['search without the smell', 'front', /after searching the smell .* is not shown/, front('(row.textContent + row.dataset.words)', '(row.dataset.pair + row.cells[1].textContent)')],
  ['heading of no pair', 'front', /the heading \w+ is shown/, front('Boolean(button) || own(part).every((row) => row.hidden)', 'Boolean(button)')],
  ['heading in a sorted list', 'front', /the heading \w+ is shown/, front('Boolean(button) ||', '')],
  ['pairs that stay sorted', 'front', /does not stand below its family/, front('return void parts.forEach((part) => part.append(...own(part)))', 'return')],
  ['no way back to the families', 'front', /offers no way back/, front("id('grouped').hidden = !button", "id('grouped').hidden = true")],
  ['family filter without effect', 'front', /after choosing family/, front("['family', 'cause'].every", "['cause'].every")],
  ['family without an option', 'front', /#family offers/, table('<option value="io">io</option>', '')],
  ['stale status', 'front', /the status says/, front("+ ' of '", "+ 1 + ' of '")],
  ['address not updated', 'front', /the address says/, both(front("history.replaceState(null, '', '#' + now)", 'kept = String(now)'), front('location.hash.slice(1)', "(window.kept ?? '')"))],
  ['address ignored', 'front', /opened at #q=/, front('addEventListener', "history.replaceState(null, '', '#'); addEventListener")],
  ['address change ignored', 'front', /address changed to/, front("addEventListener('hashchange', show)", '')],
  ['filters that exclude each other', 'front', /after combining/, front('!(chosen(row) && words.every((word) => has(row, word)))', '!(text ? row.textContent.includes(text) : chosen(row))')],
  ['sort as text', 'front', /\d+ comes after \d+/, front('step * (number(a, key) - number(b, key))', "step * (a.getAttribute('data-' + key) < b.getAttribute('data-' + key) ? -1 : 1)")],
  ['unknown first', 'front', /after a row with unknown/, front('? -1 : 1;\n', '? -step : step;\n')],
  ['unsorted names', 'front', /not in alphabetical order/, front("if (key === 'pair') return step *", "if (key === 'pair') return 0 *")],
  ['one order only', 'front', /the order stays/, front("again ? 'descending'", "again ? 'ascending'")],
  ['aria-sort missing', 'front', /aria-sort is on nothing/, front("button.parentElement.setAttribute('aria-sort', order);", '')],
  ['fragment as markup', 'front', /became an element/, front('\nshow();', "\nshow(); id('shown').insertAdjacentHTML('beforeend', '<i>' + (state().get('q') ?? '') + '</i>');")],
  ['fragment that throws', 'front', /error: .*at #sort=constructor/s, front('if (!button) return', "if (!button && now.has('sort')) null.x; if (!button) return")],
  ['sort key not a number', 'front', /"9.5x" is not a number/, table('data-gain="9.5"', 'data-gain="9.5x"')],
  ['no focus ring', 'keyboard', /#search shows no focus/, style('index.html', '#search:focus { outline: none; }')],
  ['control out of reach', 'keyboard', /does not reach #cause/, table('id="cause"', 'id="cause" tabindex="-1"')],
  ['sort by mouse only', 'keyboard', /Enter on the sort button gain/, front("button.addEventListener('click'", "button.addEventListener('mousedown'")],
  ['lost focus', 'keyboard', /loses the focus/, front("'ascending' });", "'ascending' }); button.blur();")],
  ['low contrast', 'accessibility', /light, 1280 px: color-contrast/, style(MACHINE, 'p { color: #bbb; }')],
  ['low contrast in the dark', 'accessibility', /dark, 360 px: color-contrast/, style(MACHINE, '@media (prefers-color-scheme: dark) { p { color: #333; } }')],
  ['skipped heading', 'accessibility', /heading-order/, add(MACHINE, '<h4>x</h4>')],
];

async function check(context, steps, edit) {
  const folder = mkdtempSync(join(tmpdir(), 'worthit-site-'));
  try {
    writeFakeSite(folder, edit);
    const site = readSite(folder, (page) => !steps || VISITED.has(page));
    const report = await checkSite({ ...context, site, steps });
    return report.failures.map(({ group, page, reason }) => `${group}: ${page}: ${reason}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function main(word) {
  const context = await openBrowser();
  let wrong = 0;
  const say = (right, line) => {
    wrong += right ? 0 : 1;
    console.log(`${right ? 'ok  ' : 'FAIL'} ${line}`);
  };
  const failures = await check(context);
  say(failures.length === 0, ['a correct site passes', ...failures].join('\n     '));
  waitAtMost(200);
  const faults = FAULTS.filter(([name]) => name.includes(word));
  const lane = async () => {
    for (let fault = faults.shift(); fault; fault = faults.shift()) {
      const [name, step, expected, edit] = fault;
      const found = await check(context, [step], edit);
      const hit = found.find((line) => expected.test(line));
      say(hit, hit ? `${name} → ${hit}` : [`${name} is not found`, ...found].join('\n     '));
    }
  };
  await Promise.all(Array.from({ length: 4 }, lane));
  await context.browser.close();
  return wrong;
}

try {
  process.exitCode = (await main(process.argv[2] ?? '')) === 0 ? 0 : 1;
} catch (error) {
  if (!(error instanceof CannotRun)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
