"use strict";
// Sorts a table by its columns' heads and keeps the rows that hold what a field says.
(() => {
  const text = (row, column) => row.cells[column]?.innerText.trim() ?? "";
  const figure = (said) => (/^[^a-z]*\d/i.test(said) ? parseFloat(said.replace(/[^\d.eE+-]/g, "")) : NaN);

  function compare(a, b) {
    const [x, y] = [figure(a), figure(b)];
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return Number.isNaN(x) ? a.localeCompare(b) : y - x;
  }

  function sort(table, head) {
    const before = head.getAttribute("aria-sort");
    table.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    for (const group of table.groups) group.body.replaceChildren(...group.rows);
    if (before === "ascending") return;
    const order = before === "descending" ? -1 : 1;
    head.setAttribute("aria-sort", order > 0 ? "descending" : "ascending");
    const rows = table.groups.flatMap(({ rows }) => rows.filter((row) => !row.classList.contains("family")));
    const keyed = rows.map((row) => [text(row, head.cellIndex), row]);
    keyed.sort(([a], [b]) => (a === "" || b === "" ? (a === "") - (b === "") : order * compare(a, b)));
    for (const group of table.groups) group.body.replaceChildren();
    table.groups[0].body.append(...keyed.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    table.groups = [...table.tBodies].map((body) => ({ body, rows: [...body.rows] }));
    for (const head of table.tHead.rows[0].querySelectorAll("th:not(.corner)")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.setAttribute("aria-label", `Sort by ${head.textContent.trim()}`);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  for (const field of document.querySelectorAll("input[data-filter]")) {
    field.closest("[hidden]")?.removeAttribute("hidden");
    const tables = document.querySelectorAll(field.dataset.filter);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const table of tables) {
        for (const body of table.tBodies) {
          let shown = 0;
          for (const row of body.rows) {
            if (row.classList.contains("family")) continue;
            const said = row.cells[0].textContent.toLowerCase();
            row.hidden = !words.every((word) => said.includes(word));
            shown += !row.hidden;
          }
          const family = body.querySelector(".family");
          if (family) family.hidden = !shown;
        }
      }
    });
  }
})();
