// Judges a state of the front page that readFront() returned. Each function returns what is wrong, or
// null.

export const hasCause = (row, cause) => row.cause === cause || row.cause.split(/[\s,]+/).includes(cause);

/** Returns how the page in `state` differs from what the filters `want` should show. */
export function rowsProblem(state, want) {
  const { q = '', family = '', cause = '' } = want;
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = (row) => (!family || row.family === family) && (!cause || hasCause(row, cause));
  const shown = state.rows.filter((row) => row.shown);
  const wrong = shown.find((row) => !chosen(row) || !words.every((word) => row.text.includes(word)));
  if (wrong) return `the row ${wrong.pair} is shown (${shown.length} are)`;
  // A search covers at least the name and the card. The page decides which other columns it covers.
  const lost = state.rows.find((row) => !row.shown && chosen(row) && words.every((word) => row.card.includes(word)));
  if (lost) return `the row ${lost.pair} is not shown (${shown.length} are)`;
  if (state.rows.some((row) => row.hidden === row.shown)) return 'a row is hidden other than by the hidden attribute';
  const problem = statusProblem(state.status, shown.length, state.rows.length) ?? groupsProblem(state);
  return problem ?? fragmentProblem(state.fragment, want);
}

/** Returns what is wrong with the families: a heading without a row of its own below it, or one in a sorted list. */
function groupsProblem({ families, rows, sorted }) {
  const isSorted = sorted.length > 0;
  for (const [body, { name, shown }] of families.entries()) {
    // A browser drops a NUL from text, and replaces it in an attribute.
    const own = rows.filter((row) => row.family.replaceAll('\uFFFD', '') === name);
    const wanted = !isSorted && own.some((row) => row.shown);
    if (shown !== wanted) return `the heading ${name} is ${shown ? '' : 'not '}shown`;
    const stray = isSorted ? undefined : own.find((row) => row.body !== body);
    if (stray) return `the row ${stray.pair} does not stand below its family`;
  }
  return null;
}

export function statusProblem(status, shown, total) {
  if (status === undefined) return 'there is no #shown with role="status"';
  const [first, second] = (status.match(/\d+/g) ?? []).map(Number);
  if (shown === 0 && /^no\b/i.test(status)) return null;
  const right = first === shown && (second === total || (second === undefined && shown === total));
  return right ? null : `the status says "${status}", but ${shown} of ${total} rows are shown`;
}

function fragmentProblem(fragment, want) {
  const wanted = Object.entries(want).filter(([, value]) => value !== '');
  const actual = new URLSearchParams(fragment);
  const missing = wanted.find(([key, value]) => actual.get(key) !== value);
  if (missing) return `the address says "${fragment}", which lacks ${missing.join('=')}`;
  const extra = ['q', 'family', 'cause'].find((key) => actual.has(key) && !want[key]);
  return extra ? `the address still says "${fragment}"` : null;
}

/** Returns how the shown rows break the order that the headings and the address claim. */
export function orderProblem(state, key, wantedOrder) {
  const [sorted, ...more] = state.sorted;
  if (sorted?.key !== key || more.length) return `aria-sort is on ${state.sorted.map((one) => one.key).join(', ') || 'nothing'}`;
  if (!['ascending', 'descending'].includes(sorted.order)) return `aria-sort is "${sorted.order}"`;
  if (wantedOrder && sorted.order !== wantedOrder) return `aria-sort is "${sorted.order}"`;
  const claimed = new URLSearchParams(state.fragment).get('order');
  if (claimed && claimed !== sorted.order) return `aria-sort is "${sorted.order}", but the address says "${claimed}"`;
  const shown = state.rows.filter((row) => row.shown);
  const step = sorted.order === 'ascending' ? 1 : -1;
  return key === 'pair' ? namesProblem(shown, step) : numbersProblem(shown, key, step);
}

function namesProblem(rows, step) {
  const compares = [(a, b) => a.localeCompare(b, 'en'), (a, b) => Number(a > b) - Number(a < b)];
  const inOrder = compares.some((compare) =>
    rows.every((row, index) => index === 0 || step * compare(rows[index - 1].pair, row.pair) <= 0),
  );
  return inOrder ? null : 'the names are not in alphabetical order';
}

function numbersProblem(rows, key, step) {
  for (let index = 1; index < rows.length; index += 1) {
    const [before, after] = [rows[index - 1][key], rows[index][key]];
    if (before === null && after !== null) return `${rows[index].pair} comes after a row with unknown ${key}`;
    if (after !== null && step * (Number(before) - Number(after)) > 0) return `${after} comes after ${before}`;
  }
  return null;
}
