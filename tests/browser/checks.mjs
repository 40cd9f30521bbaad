// Runs all checks of a site and collects their results in a report.

import { checkAccessibility } from './accessibility.mjs';
import { checkFrontPage } from './front.mjs';
import { checkKeyboard } from './keyboard.mjs';
import { checkEveryPage, checkPdf, checkWithoutScript } from './visit.mjs';

export class Report {
  failures = [];
  #counts = new Map();

  /** Counts what was checked, so that the output reveals a group that checked nothing. */
  count(group, things, number = 1) {
    const counts = this.#counts.get(group) ?? new Map();
    this.#counts.set(group, counts.set(things, (counts.get(things) ?? 0) + number));
  }

  fail(group, page, reason) {
    this.count(group, 'failures', 0);
    const known = this.failures.some((one) => one.group === group && one.page === page && one.reason === reason);
    if (!known) this.failures.push({ group, page, reason });
  }

  print() {
    for (const [group, counts] of this.#counts) {
      const failures = this.failures.filter((failure) => failure.group === group);
      counts.delete('failures');
      const numbers = [...counts].map(([things, number]) => `${number} ${things}`).join(', ');
      console.log(`${failures.length ? 'FAIL' : 'ok  '} ${group}: ${numbers}`);
      for (const { page, reason } of failures) console.log(`     ${page}: ${reason}`);
    }
  }
}

const STEPS = {
  pages: checkEveryPage,
  front: checkFrontPage,
  keyboard: checkKeyboard,
  noScript: checkWithoutScript,
  accessibility: checkAccessibility,
  pdf: checkPdf,
};

/** Runs the named steps (all of them if none is named) and returns the report. */
export async function checkSite({ browser, axeSource, site, steps = Object.keys(STEPS) }) {
  const report = new Report();
  for (const step of steps) {
    try {
      await STEPS[step]({ browser, axeSource, site, report });
    } catch (error) {
      // A check that throws has not passed.
      report.fail(step, 'index.html', `the check threw an error: ${error.message.split('\n').slice(0, 4).join(' ')}`);
    }
  }
  return report;
}
