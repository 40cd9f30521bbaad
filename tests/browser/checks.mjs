// All checks of a site, in groups; and the report they write to.

import { checkAccessibility } from './accessibility.mjs';
import { checkFrontPage } from './front.mjs';
import { checkKeyboard } from './keyboard.mjs';
import { checkEveryPage, checkPdf, checkWithoutScript } from './visit.mjs';

export class Report {
  failures = [];
  #counts = new Map();

  /** Counts things checked, so that a group that checked nothing is seen to have done so. */
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
      // A check that breaks off has not passed.
      report.fail(step, 'index.html', `the check broke off: ${error.message.split('\n').slice(0, 4).join(' ')}`);
    }
  }
  return report;
}
