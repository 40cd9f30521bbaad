// Starts the browser that all checks share, and offers what they need of it.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The check itself cannot run; the message says what to do. */
export class CannotRun extends Error {}

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // No host name resolves, so a request for a remote resource fails the same way everywhere.
  '--host-resolver-rules=MAP * ~NOTFOUND',
];

export async function openBrowser() {
  const { chromium, axeSource } = await loadModules();
  const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
  if (!existsSync(executablePath)) {
    throw new CannotRun(
      `no Chromium at ${executablePath}; run: apt-get install -y --no-install-recommends chromium ` +
        'fonts-dejavu-core (or set CHROMIUM to its path)',
    );
  }
  try {
    const browser = await chromium.launch({ executablePath, args: ARGUMENTS });
    return { browser, axeSource };
  } catch (error) {
    throw new CannotRun(`${executablePath} does not start: ${error.message}`);
  }
}

async function loadModules() {
  try {
    const { chromium } = await import('playwright-core');
    const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
    return { chromium, axeSource: readFileSync(axePath, 'utf8') };
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' && error.code !== 'MODULE_NOT_FOUND') throw error;
    throw new CannotRun(`node modules are missing; run: npm ci --prefix ${import.meta.dirname ?? 'tests/browser'}`);
  }
}

/** Runs `work(item, page)` for every item, on `size` pages of `context` at a time. */
export async function onPages(context, items, size, work) {
  const queue = [...items];
  const lane = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item, page);
    await page.close();
  };
  await Promise.all(Array.from({ length: Math.min(size, items.length) }, lane));
}

/**
 * Calls `onTrouble(text)` for every console message, error, dialog, failed request and request
 * for anything outside the site.
 */
export function watch(page, site, onTrouble) {
  page.on('console', (message) => onTrouble(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => onTrouble(`error: ${error.message}`));
  page.on('crash', () => onTrouble('the page crashed'));
  page.on('dialog', (dialog) => {
    onTrouble(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('requestfailed', (request) => {
    onTrouble(`failed request: ${request.url()} (${request.failure()?.errorText})`);
  });
  page.on('request', (request) => {
    const url = request.url();
    const allowed = url.startsWith(site.url) || /^(data|about):/.test(url);
    if (!allowed) onTrouble(`request outside the site: ${url}`);
  });
}

/** Waits until the page has painted, because by then its script has finished its initial work. */
export function painted(page) {
  return page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))),
  );
}
