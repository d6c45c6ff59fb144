"use strict";
(() => {
  const status = document.getElementById("status");

  // ------------------------------------------------------------------ sorting: the first body; real images stay below

  const number = (cell) => (cell.dataset.value === undefined ? NaN : Number(cell.dataset.value));

  function compare(a, b, sign) {
    const [x, y] = [number(a.cell), number(b.cell)];
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // without a value: always last
    const order = Number.isNaN(x)
      ? a.cell.textContent.localeCompare(b.cell.textContent, "en", { numeric: true })
      : x - y;
    return sign * order || a.place - b.place;
  }

  function sort(table, head, column) {
    const own = head.querySelector('[aria-label$="is better"]'); // or else the caption may say it for all columns
    const higher = own ? own.textContent === "↑" : table.caption.textContent.includes("↑");
    const before = head.getAttribute("aria-sort");
    const order = before ? (before === "ascending" ? "descending" : "ascending") : higher ? "descending" : "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, cell: row.cells[column], place: Number(row.dataset.place) }));
    rows.sort((a, b) => compare(a, b, order === "ascending" ? 1 : -1));
    body.append(...rows.map(({ row }) => row));
    status.textContent = `sorted by ${head.textContent.trim()}, ${order}`;
  }

  function makeSortable(table) {
    const body = table.tBodies[0];
    if (!table.tHead || !body || body.rows.length < 2) return;
    Array.from(body.rows).forEach((row, place) => { row.dataset.place = place; });
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      const words = document.createElement("span"); // one item: a button's own parts are laid out apart
      words.append(...head.childNodes);
      button.append(words);
      button.addEventListener("click", () => sort(table, head, column));
      head.append(button);
    });
  }

  // --------------------------------------------------------------------------------- one panel of a direction at a time

  function makeSwitch(board) {
    const line = board.querySelector(".switch");
    const choice = line.querySelector("select");
    const panels = Array.from(board.querySelectorAll(".panel"));
    const show = () => panels.forEach((panel) => { panel.hidden = panel.id !== choice.value; });
    choice.addEventListener("change", () => {
      show();
      status.textContent = `${board.dataset.board}: ${choice.selectedOptions[0].textContent}`;
    });
    line.hidden = panels.length < 2;
    show();
  }

  document.querySelectorAll(".bench-table table").forEach(makeSortable);
  document.querySelectorAll(".board").forEach(makeSwitch);
})();
