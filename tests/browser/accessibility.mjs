// Runs axe on one page of every kind, and takes screenshots for people.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { onPages, painted } from './browser.mjs';

const GROUP = 'accessibility';
const SCHEMES = ['light', 'dark'];
const WIDTHS = [360, 1280];

/** Returns the pages that exist once, such as the front page, and the first, middle and last pair. */
function sampleOf(site) {
  const { pairs } = site;
  const some = [pairs[0], pairs[Math.floor(pairs.length / 2)], pairs.at(-1)];
  const single = ['index.html', 'scaling.html', 'machine.html', 'portability.html', 'trends.html', 'compare.html'];
  return [...new Set([...single, ...some])].filter((page) => site.pages.includes(page));
}

export async function checkAccessibility({ browser, axeSource, site, report }) {
  // The site's policy rightly blocks axe's script, so this context, and no other, bypasses the policy.
  const context = await browser.newContext({ bypassCSP: true, reducedMotion: 'reduce' });
  await onPages(context, sampleOf(site), 2, async (name, page) => {
    await page.goto(site.address(name));
    await page.evaluate(axeSource);
    for (const colorScheme of SCHEMES) {
      for (const width of WIDTHS) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        await painted(page);
        report.count(GROUP, 'runs of axe');
        for (const violation of await page.evaluate(runAxe)) {
          report.fail(GROUP, name, `${colorScheme}, ${width} px: ${violation}`);
        }
      }
    }
  });
  await context.close();
}

/** Runs in the page: checks all of axe's default rules, which include its best practices. */
async function runAxe() {
  document.getAnimations().forEach((animation) => animation.finish());
  const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
  return violations.map(({ id, help, nodes }) => {
    const { target, failureSummary } = nodes[0];
    const summary = failureSummary.split('\n').slice(1).join(' ').trim().slice(0, 200);
    return `${id} (${help}) at ${nodes.length} places, first ${target.flat().join(' ')}: ${summary}`;
  });
}

/** Saves screenshots of the front page, a pair and the scaling page: in both color schemes, and on a small screen. */
export async function takeScreenshots(browser, site, folder) {
  mkdirSync(folder, { recursive: true });
  const pair = site.pairs.find((page) => page === 'pairs/queries/n_plus_one.html') ?? site.pairs[0];
  const pages = { index: 'index.html', pair, scaling: 'scaling.html' };
  const shots = [
    { suffix: 'light', colorScheme: 'light', width: 1280 },
    { suffix: 'dark', colorScheme: 'dark', width: 1280 },
    { suffix: '360', colorScheme: 'light', width: 360 },
  ];
  for (const { suffix, colorScheme, width } of shots) {
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 }, reducedMotion: 'reduce' });
    for (const [name, path] of Object.entries(pages)) {
      if (!site.pages.includes(path)) continue;
      await page.goto(site.address(path));
      await page.screenshot({ path: join(folder, `${name}-${suffix}.png`), fullPage: true });
    }
    await page.close();
  }
}
