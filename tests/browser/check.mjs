// Opens the static report site in Chromium, straight from disk, and checks it as a reader would see it:
//
//     node check.mjs SITE_FOLDER [--visit PATTERN] [--screenshots FOLDER]
//
// Exit status: 0 all checks passed, 1 at least one failed, 2 the check could not be run.

import { parseArgs } from 'node:util';
import { takeScreenshots } from './accessibility.mjs';
import { CannotRun, openBrowser } from './browser.mjs';
import { checkSite } from './checks.mjs';
import { readSite } from './site.mjs';

const USAGE = 'usage: node check.mjs SITE_FOLDER [--visit PATTERN] [--screenshots FOLDER]';

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { screenshots: { type: 'string' }, visit: { type: 'string' } },
    });
    if (positionals.length === 1) return { folder: positionals[0], ...values };
  } catch {
    // An unknown option: the usage line below says enough.
  }
  throw new CannotRun(USAGE);
}

async function main() {
  const { folder, screenshots, visit = '' } = readArguments();
  const started = Date.now();
  const site = readSite(folder, (page) => new RegExp(visit).test(page));
  const { browser, axeSource } = await openBrowser();
  try {
    const report = await checkSite({ browser, axeSource, site });
    if (screenshots) await takeScreenshots(browser, site, screenshots);
    report.print();
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    console.log(`${site.visited.length} of ${site.pages.length} pages, ${report.failures.length} failures, ${seconds} s`);
    return report.failures.length === 0 ? 0 : 1;
  } finally {
    await browser.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof CannotRun)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
