"use strict";
// One tab stop for the whole matrix; arrow keys, Home and End move between its cells.
(() => {
  const region = document.querySelector(".matrix");
  if (!region) return;
  const rows = [...region.querySelectorAll("tr")].map((row) => [...row.querySelectorAll("a.cell")]).filter((cells) => cells.length);
  const all = rows.flat();
  const column = (cell) => cell.closest("td").cellIndex;

  function go(cell) {
    if (!cell) return;
    all.forEach((other) => { other.tabIndex = other === cell ? 0 : -1; });
    cell.focus();
  }

  function across(row, from, step) {
    const at = column(from);
    const there = row.filter((cell) => (column(cell) - at) * step > 0);
    return step > 0 ? there[0] : there.at(-1);
  }

  function down(index, from, step) {
    for (let next = index + step; rows[next]; next += step) {
      const same = rows[next].find((cell) => column(cell) === column(from));
      if (same) return same;
    }
    return rows[index + step]?.[0];
  }

  all.forEach((cell, index) => { cell.tabIndex = index ? -1 : 0; });
  region.addEventListener("keydown", (event) => {
    const from = event.target.closest("a.cell");
    if (!from || event.altKey || event.ctrlKey || event.metaKey) return;
    const index = rows.findIndex((row) => row.includes(from));
    const steps = {
      ArrowRight: () => across(rows[index], from, 1), ArrowLeft: () => across(rows[index], from, -1),
      ArrowDown: () => down(index, from, 1), ArrowUp: () => down(index, from, -1),
      Home: () => rows[index][0], End: () => rows[index].at(-1),
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    go(step());
  });
})();
