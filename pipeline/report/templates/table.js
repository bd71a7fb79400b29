"use strict";
// Sorting and filtering the table of all candidates. Rows are moved, never made again: 500 of them take a few ms.
(() => {
  const table = document.getElementById("results");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const words = new Map(rows.map((row) => [row, row.textContent.replace(/\s+/g, " ").toLowerCase()]));
  const find = document.getElementById("find");
  const which = document.getElementById("which");
  const chosen = document.getElementById("chosen");
  const count = document.getElementById("shown-count");
  const said = document.getElementById("said");

  function filter() {
    const terms = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const keep =
        (!which.value || row.dataset.verdict === which.value) &&
        (!chosen.checked || "chosen" in row.dataset) &&
        terms.every((term) => words.get(row).includes(term));
      row.hidden = !keep;
      left += keep;
    }
    count.textContent = left === rows.length ? `${left} candidates` : `${left} of ${rows.length} candidates`;
  }

  function key(row, column, numeric) {
    const cell = row.cells[column];
    if (!numeric) return (cell.dataset.v ?? cell.textContent).trim().toLowerCase();
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  }

  function sort(head) {
    const column = head.cellIndex;
    const numeric = head.dataset.sort === "number";
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    const collator = new Intl.Collator("en", { numeric: true });
    const keyed = rows.map((row, i) => [key(row, column, numeric), i, row]);
    keyed.sort(([a, i], [b, j]) => {
      if (a === null || b === null || a === "" || b === "") {
        const gap = (a === null || a === "") - (b === null || b === "");
        return gap || i - j; // what is unknown stays at the end, whichever way
      }
      const order = numeric ? a - b : collator.compare(a, b);
      return sign * order || i - j;
    });
    body.append(...keyed.map(([, , row]) => row));
    said.textContent = `Sorted by ${head.textContent.trim()}, ${up ? "ascending" : "descending"}`;
  }

  find.addEventListener("input", filter);
  which.addEventListener("change", filter);
  chosen.addEventListener("change", filter);
  find.form.addEventListener("submit", (event) => event.preventDefault());
  for (const head of table.tHead.rows[0].cells) head.querySelector("button").addEventListener("click", () => sort(head));
  filter(); // a browser may have kept the fields of an earlier visit
})();
