// Functions that run inside a page and return plain data. Each must be self-contained, because the
// browser gets only its source text.

/** Reads the document itself: its ids, links, remote resources, policies, charts and Markdown that was not rendered. */
export function readPage() {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (element) => `<${element.localName}${element.id ? ` id="${element.id}"` : ''}>`;
  const resolve = (address) => {
    return URL.canParse(address, document.baseURI) ? new URL(address, document.baseURI).href : address;
  };
  const addressOf = (element) => element.getAttribute('href') ?? element.getAttribute('xlink:href');

  const links = all('a, area')
    .filter((element) => addressOf(element) !== null)
    .map((element) => ({
      href: addressOf(element),
      url: resolve(addressOf(element)),
      outside: element.classList.contains('outside'),
    }));

  const loading = ['stylesheet', 'icon', 'preload', 'prefetch', 'preconnect', 'dns-prefetch', 'modulepreload', 'manifest'];
  const remote = [
    ...all('[src], [poster], [data], [srcset]').flatMap((element) => {
      const sets = (element.getAttribute('srcset') ?? '').split(',').map((part) => part.trim().split(' ')[0]);
      return ['src', 'poster', 'data'].map((attribute) => element.getAttribute(attribute)).concat(sets);
    }),
    ...all('use, image, feImage, base').map(addressOf),
    ...all('link').filter((link) => loading.some((rel) => link.relList.contains(rel))).map(addressOf),
  ].filter((address) => address && /^(https?|wss?|ftp):/.test(resolve(address)));

  const policies = all('meta[http-equiv="Content-Security-Policy" i]').map((meta) => ({
    content: meta.content,
    late: all('style, script, link[rel~="stylesheet"]').some(
      (other) => meta.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_PRECEDING,
    ),
  }));

  const attributes = all('*').flatMap((element) =>
    [...element.attributes]
      .filter((attribute) => attribute.name === 'style' || /^on/i.test(attribute.name))
      .map((attribute) => `${attribute.name} on ${name(element)}`),
  );

  // In code a backtick is part of the language.
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, (text) =>
    text.data.includes('`') && !text.parentElement.closest('code, pre, .code, script, style')
      ? NodeFilter.FILTER_ACCEPT
      : NodeFilter.FILTER_SKIP,
  );
  const backticks = [];
  while (words.nextNode()) backticks.push(words.currentNode.data.trim().slice(0, 60));

  const charts = all('svg').filter((svg) => !svg.parentElement.closest('svg'));
  // A chart has a label, or is hidden from screen readers beside words that say the same.
  const hasLabel = (svg) => svg.closest('[role="img"]')?.getAttribute('aria-label')?.trim();
  const hasWords = (svg) => {
    const place = svg.getAttribute('aria-hidden') === 'true' && svg.closest('li, tr, figure');
    return place && place.textContent.trim() !== svg.textContent.trim();
  };
  const unlabelled = charts.filter((svg) => !hasLabel(svg) && !hasWords(svg));
  const ids = all('[id]').map((element) => element.id);
  return {
    ids,
    repeatedIds: ids.filter((id, index) => ids.indexOf(id) !== index),
    links,
    remote,
    policies,
    attributes,
    backticks,
    charts: charts.length,
    unlabelled: unlabelled.map((svg) => `${name(svg)} in ${name(svg.parentElement)}`),
  };
}

/**
 * Reads the layout: widths, what sticks out or is out of sight, cut tables, charts that leave the right half empty, and the size at
 * which chart text is drawn.
 */
export function readLayout() {
  const root = document.documentElement;
  const label = (element) => {
    const words = [element.localName, ...['id', 'class'].map((name) => element.getAttribute(name) && `${name}="${element.getAttribute(name)}"`)];
    return `<${words.filter(Boolean).join(' ')}>`;
  };
  const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);

  const sticksOut = (svg) => {
    const chart = svg.getBoundingClientRect();
    if (chart.width === 0) return false;
    for (let box = svg.parentElement; box && box !== root; box = box.parentElement) {
      if (scrolls(box)) return false;
      // An element without a box of its own (display: contents, inline) contains nothing.
      const rect = box.getBoundingClientRect();
      if (rect.width === 0 || getComputedStyle(box).display === 'inline') continue;
      if (chart.right > rect.right + 1 || chart.left < rect.left - 1) return true;
    }
    return false;
  };

  const drawn = (text) => {
    const own = [...text.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    return own && text.getClientRects().length > 0;
  };
  const size = (text) => {
    const { a, b, c, d } = (text.closest('text') ?? text).getScreenCTM();
    return parseFloat(getComputedStyle(text).fontSize) * Math.sqrt(Math.abs(a * d - b * c));
  };

  const culprit = () => {
    const wide = [...document.body.querySelectorAll('*')].filter((element) => {
      const { left, right } = element.getBoundingClientRect();
      // Text that cannot be broken sticks out of its box without widening it.
      const end = Math.max(right, getComputedStyle(element).display === 'inline' ? 0 : left + element.scrollWidth);
      if (end <= root.clientWidth + 0.5) return false;
      for (let box = element; box && box !== root; box = box.parentElement) {
        if (scrolls(box)) return false;
      }
      return true;
    });
    return wide.length ? `because of ${label(wide.at(-1))}` : 'because of no single element';
  };

  // What a reader would have to scroll sideways to see.
  const isCut = (element) => scrolls(element) && element.scrollWidth > element.clientWidth + 1;
  const cut = [...document.querySelectorAll('main *')].filter(isCut);

  // Tables of which a part cannot be seen at all, not even by scrolling.
  const isHiddenInPart = (table) => {
    const { left, right } = table.getBoundingClientRect();
    for (let box = table.parentElement; box && box !== root && !scrolls(box); box = box.parentElement) {
      const frame = box.getBoundingClientRect();
      const hides = /hidden|clip/.test(getComputedStyle(box).overflowX);
      if (hides && (right > frame.right + 1 || left < frame.left - 1)) return true;
    }
    return false;
  };

  const [main] = document.getElementsByTagName('main');
  const middle = main.getBoundingClientRect().left + main.clientWidth / 2;
  const inLine = (one, other) => one.top < other.bottom && other.top < one.bottom;
  const isAlone = (svg) => {
    const chart = svg.getBoundingClientRect();
    if (chart.width === 0 || chart.right > middle + 1) return false;
    const others = [...document.querySelectorAll('main svg, main table')].map((one) => one.getBoundingClientRect());
    return !others.some((other) => other.left >= chart.right - 1 && inLine(chart, other));
  };
  const top = (id) => document.getElementById(id)?.getBoundingClientRect().top;

  const overflow = root.scrollWidth > root.clientWidth;
  const charts = [...document.querySelectorAll('svg')].filter((svg) => !svg.parentElement.closest('svg'));
  const texts = [...document.querySelectorAll('svg text, svg tspan')].filter(drawn);
  return {
    scrollWidth: root.scrollWidth,
    clientWidth: root.clientWidth,
    culprit: overflow ? culprit() : '',
    overflowing: charts.filter(sticksOut).map((svg) => label(svg.closest('[id]') ?? svg)),
    cut: cut.map((element) => `${label(element)} ${element.getAttribute('aria-label') ?? ''}`.trim()),
    hiddenTables: [...document.querySelectorAll('main table')]
      .filter(isHiddenInPart)
      .map((table) => table.caption?.textContent.trim() || label(table)),
    alone: charts
      .filter((svg) => !svg.closest('table') && isAlone(svg))
      .map((svg) => label(svg.closest('[id]') ?? svg)),
    cardIsLate: top('review') > top('samples'),
    texts: texts.map((text) => ({ text: text.textContent.trim().slice(0, 30), size: size(text) })),
  };
}

/** Lists the elements that are printed but should not be. */
export function readPrint() {
  return [...document.querySelectorAll('#controls, nav')]
    .filter((element) => element.checkVisibility())
    .map((element) => (element.id ? `#${element.id}` : `<${element.localName}>`));
}

/** Lists the charts that are zero pixels wide. */
export function emptyCharts() {
  return [...document.querySelectorAll('svg')]
    .filter((svg) => !svg.closest('details:not([open])') && svg.getBoundingClientRect().width === 0)
    .map((svg) => `the chart in #${svg.closest('[id]')?.id ?? '?'}`);
}

/** Reads which of the wanted sections, the table's rows and the controls are shown. */
export function readSections(wanted) {
  const shown = (element) => Boolean(element?.checkVisibility({ visibilityProperty: true }));
  const present = wanted.filter((id) => shown(document.getElementById(id)));
  const rows = [...document.querySelectorAll('#catalogue tbody tr[data-family][data-cause]')];
  return {
    missing: wanted.filter((id) => !present.includes(id)),
    empty: present.filter((id) => document.getElementById(id).innerText.trim() === ''),
    rows: rows.length,
    hiddenHeadings: [...document.querySelectorAll('#catalogue tr.family')].filter((row) => !shown(row)).length,
    hiddenRows: rows.filter((row) => !shown(row)).length,
    controls: shown(document.getElementById('controls')),
  };
}

/** Reads the front page's table and controls as a reader sees them. */
export function readFront() {
  const bodies = [...document.querySelectorAll('#catalogue tbody')];
  const rows = [...document.querySelectorAll('#catalogue tbody tr[data-family][data-cause]')];
  const headings = [...document.querySelectorAll('#catalogue thead th[aria-sort]')];
  const value = (id) => document.getElementById(id)?.value;
  return {
    rows: rows.map((row) => ({
      pair: row.getAttribute('data-pair'),
      family: row.getAttribute('data-family'),
      cause: row.getAttribute('data-cause'),
      gain: row.getAttribute('data-gain'),
      'break-even': row.getAttribute('data-break-even'),
      limit: row.getAttribute('data-limit'),
      text: `${row.textContent} ${row.dataset.words ?? ''}`.replace(/\s+/g, ' ').trim().toLowerCase(),
      // What a search must cover.
      card: `${row.dataset.pair} ${row.querySelector('.smell')?.textContent ?? ''} ${row.dataset.words ?? ''}`.toLowerCase(),
      smell: row.querySelector('.smell')?.textContent ?? '',
      body: bodies.indexOf(row.closest('tbody')),
      hidden: row.hidden,
      shown: row.checkVisibility(),
    })),
    families: bodies.map((body) => ({
      name: body.querySelector('tr.family [role="heading"]')?.textContent,
      shown: body.querySelector('tr.family')?.checkVisibility() ?? false,
    })),
    status: document.querySelector('#shown[role="status"]')?.textContent.trim(),
    fragment: location.hash.slice(1),
    values: { q: value('search'), family: value('family'), cause: value('cause') },
    sorted: headings
      .filter((heading) => heading.getAttribute('aria-sort') !== 'none')
      .map((heading) => ({
        key: heading.querySelector('button')?.dataset.sort,
        order: heading.getAttribute('aria-sort'),
      })),
    images: document.querySelectorAll('img[src="x"]').length,
  };
}
