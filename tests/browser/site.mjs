// Reads the site as files: its pages, and the targets of its links.

import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CannotRun } from './browser.mjs';

const FRAGMENT_KEYS = new Set(['q', 'family', 'cause', 'sort', 'order']);

/**
 * Lists the pages of the site, each as a path relative to the folder. `isVisited` says which pages of pairs are loaded;
 * all others are. Pages under earlier ids, which lead to another page at once, are apart.
 */
export function readSite(folder, isVisited = () => true) {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CannotRun(`${folder} is not a folder`);
  }
  const root = realpathSync(folder);
  const all = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.html'))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)).split(sep).join('/'))
    .sort();
  const redirects = all.map((page) => [page, leadsTo(root, page)]).filter(([, target]) => target !== null);
  const pages = all.filter((page) => redirects.every(([redirect]) => redirect !== page));
  if (!pages.includes('index.html')) throw new CannotRun(`${folder} has no index.html`);
  return {
    root,
    url: `${pathToFileURL(root)}/`,
    pages,
    redirects,
    visited: pages.filter((page) => !page.startsWith('pairs/') || isVisited(page)),
    pairs: pages.filter((page) => page.startsWith('pairs/')),
    address: (page, fragment = '') => `${pathToFileURL(join(root, page))}${fragment}`,
  };
}

/** Returns the page that a page leads to at once, or null. */
function leadsTo(root, page) {
  const target = /<meta http-equiv="refresh" content="0; url=([^"]*)">/.exec(readFileSync(join(root, page), 'utf8'));
  return target && join(dirname(page), target[1]).split(sep).join('/');
}

/** Returns what is wrong with a link, or null. `idsOf` maps pages to their ids. */
export function linkProblem(site, link, idsOf) {
  if (!URL.canParse(link.url)) return `link ${link.href} is not an address`;
  const url = new URL(link.url);
  if (['https:', 'http:', 'mailto:'].includes(url.protocol)) return null;
  if (url.protocol !== 'file:') return `link ${link.href} has the scheme ${url.protocol}`;
  if (/^(file:|\/)/i.test(link.href)) return `link ${link.href} is absolute, so the site cannot be moved`;
  if (!url.href.startsWith(site.url)) {
    return link.outside ? null : `link ${link.href} leaves the site without the class "outside"`;
  }
  const path = fileURLToPath(new URL(url.pathname, url));
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return `dead link ${link.href}`;
  const target = relative(site.root, path).split(sep).join('/');
  if (site.pages.includes(target) && !site.visited.includes(target)) return null;
  return fragmentProblem(target, url.hash.slice(1), link.href, idsOf);
}

function fragmentProblem(target, fragment, href, idsOf) {
  if (fragment === '' || fragment === 'top') return null;
  // On the front page a fragment may also be a state of the table.
  if (target === 'index.html' && fragment.includes('=')) {
    const unknown = [...new URLSearchParams(fragment).keys()].filter((key) => !FRAGMENT_KEYS.has(key));
    return unknown.length ? `link ${href} sets the unknown ${unknown.join(', ')}` : null;
  }
  const ids = idsOf.get(target);
  return ids?.has(decodeURIComponent(fragment)) ? null : `link ${href} names no id of ${target}`;
}
