// Search, filters and sorting of the catalogue. The address keeps their state in its fragment: the only part
// that a page opened from disk may change. Without this script, the page shows the whole table.
(() => {
  "use strict";
  const table = document.getElementById("catalogue");
  if (!table) return;
  const [search, family, cause, status, none] = ["search", "family", "cause", "shown", "none"].map((id) =>
    document.getElementById(id));
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const buttons = [...table.querySelectorAll("thead button[data-sort]")];
  const keys = buttons.map((button) => button.dataset.sort);
  const inputs = { q: search, family, cause };
  let sort = "";
  let order = "";

  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const key = (row) => row.getAttribute("data-" + sort);

  // Unknown values come last in either order.
  function compare(left, right) {
    const [a, b] = [key(left), key(right)];
    if (a === null || b === null) return (a === null) - (b === null);
    const difference = sort === "pair" ? a.localeCompare(b, "en") : Number(a) - Number(b);
    return order === "descending" ? -difference : difference;
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
    body.append(...(sort ? [...rows].sort(compare) : rows));
    for (const button of buttons) {
      const own = button.dataset.sort === sort;
      const cell = button.closest("th");
      if (own) cell.setAttribute("aria-sort", order);
      else cell.removeAttribute("aria-sort");
    }
    status.textContent = `${shown} of ${rows.length} rows`;
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

  // Accepts only values that the page itself offers. Fragments without "=" are anchors, such as that of the
  // skip link, and leave the state alone.
  function recall() {
    if (location.hash.length > 1 && !location.hash.includes("=")) return apply();
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
  window.addEventListener("hashchange", recall);
  document.getElementById("controls").hidden = false;
  recall();
})();
