// Search, filters and sorting of the catalogue. The address keeps their state in its fragment: the only part
// that a page opened from disk may change. Without this script, the page shows the whole table by family.
(() => {
  "use strict";
  const table = document.getElementById("catalogue");
  if (!table) return;
  const [search, family, cause, status, none, overview, grouped] =
    ["search", "family", "cause", "shown", "none", "overview", "grouped"].map((id) => document.getElementById(id));
  const bodies = [...table.tBodies].map((body) => {
    const [heading, ...rows] = body.rows;
    return { body, heading, rows };
  });
  const rows = bodies.flatMap((part) => part.rows);
  const buttons = [...table.querySelectorAll("thead button[data-sort]")];
  const keys = buttons.map((button) => button.dataset.sort);
  const inputs = { q: search, family, cause };
  let sort = "";
  let order = "";

  const text = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.words ?? ""}`.toLowerCase()]));
  const key = (row) => row.getAttribute("data-" + sort);

  // Unknown values come last in either order.
  function compare(left, right) {
    const [a, b] = [key(left), key(right)];
    if (a === null || b === null) return (a === null) - (b === null);
    const difference = sort === "pair" ? a.localeCompare(b, "en") : Number(a) - Number(b);
    return order === "descending" ? -difference : difference;
  }

  // Sorted rows stand in one list, of which the first body of the table holds all; else each stands in its family.
  function arrange() {
    if (sort && bodies.length > 0) bodies[0].body.append(...[...rows].sort(compare));
    else for (const part of bodies) part.body.append(...part.rows);
    for (const { heading, rows } of bodies) heading.hidden = sort !== "" || rows.every((row) => row.hidden);
    table.classList.toggle("flat", sort !== "");
    grouped.hidden = sort === "";
  }

  function apply() {
    // People write "N+1".
    const words = search.value.toLowerCase().replace(/\+1\b/g, "_plus_one").split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(words.every((word) => text.get(row).includes(word)) &&
        (!family.value || row.dataset.family === family.value) &&
        (!cause.value || row.dataset.cause === cause.value));
      shown += !row.hidden;
    }
    arrange();
    for (const button of buttons) {
      const own = button.dataset.sort === sort;
      const cell = button.closest("th");
      if (own) cell.setAttribute("aria-sort", order);
      else cell.removeAttribute("aria-sort");
    }
    // What was asked for stands right below the question.
    table.classList.toggle("searched", words.length > 0);
    overview.hidden = words.length > 0 || Boolean(family.value || cause.value);
    status.textContent = `${shown} of ${rows.length} pairs`;
    none.hidden = shown > 0;
  }

  function remember() {
    apply();
    const state = new URLSearchParams();
    for (const [name, input] of Object.entries(inputs)) if (input.value) state.set(name, input.value);
    if (sort) {
      state.set("sort", sort);
      state.set("order", order);
    }
    history.replaceState(null, "", "#" + state);
  }

  // A family has no place of its own in a sorted list.
  function visit(anchor) {
    const part = bodies.find(({ body }) => body.id === anchor);
    if (part) [sort, order] = ["", ""];
    apply();
    if (part) part.body.scrollIntoView();
  }

  // Accepts only values that the page itself offers. Fragments without "=" are anchors, such as that of the
  // skip link, and leave the state alone.
  function recall() {
    if (location.hash.length > 1 && !location.hash.includes("=")) return visit(location.hash.slice(1));
    const state = new URLSearchParams(location.hash.slice(1));
    search.value = state.get("q") ?? "";
    for (const select of [family, cause]) {
      const wanted = state.get(select.id) ?? "";
      select.value = [...select.options].some((option) => option.value === wanted) ? wanted : "";
    }
    sort = keys.includes(state.get("sort")) ? state.get("sort") : "";
    order = sort && state.get("order") === "ascending" ? "ascending" : sort && "descending";
    if (location.hash) remember();
    else apply();
  }

  search.addEventListener("input", remember);
  family.addEventListener("change", remember);
  cause.addEventListener("change", remember);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const first = button.dataset.sort === "pair" ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      order = sort === button.dataset.sort && order === first ? second : first;
      sort = button.dataset.sort;
      remember();
    });
    button.disabled = false;
  }
  grouped.addEventListener("click", () => {
    [sort, order] = ["", ""];
    remember();
    // The button that had the focus is gone.
    search.focus();
  });
  window.addEventListener("hashchange", recall);
  document.getElementById("controls").hidden = false;
  recall();
})();
