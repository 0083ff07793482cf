// Tables: a click on a header sorts by it; cells without a number go last, either way.
const sortKey = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.key ?? cell.textContent.trim();
  const value = Number(text);
  if (text === "" || text === "–") return null;
  return Number.isNaN(value) ? text : value;
};
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
for (const table of all("table.sortable")) {
  const head = table.tHead.rows[table.tHead.rows.length - 1];
  [...head.cells].forEach((th, column) => {
    if (th.hasAttribute("data-fixed")) return;
    const button = element("button", "", { type: "button", title: "Sort by this column" });
    button.append(...[...th.childNodes].filter((node) => !node.classList?.contains("sub")));
    th.prepend(button);
    button.addEventListener("click", () => {
      const up = th.getAttribute("aria-sort") !== "ascending";
      for (const other of head.cells) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [sortKey(row, column), row]);
      rows.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : up ? compare(a, b) : compare(b, a)));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// Tooltips of verdicts, for pointer, finger and keyboard.  Text only: nothing is parsed.
const tip = byId("tip");
const hideTip = () => { tip.hidden = true; };
const showTip = (chip) => {
  if (!chip.dataset.tip) return;
  tip.textContent = chip.dataset.tip;
  tip.hidden = false;
  const at = chip.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
  tip.style.top = at.bottom + size.height + 8 < innerHeight ? `${at.bottom + 6}px` : `${at.top - size.height - 6}px`;
};
for (const chip of all(".chip")) {
  for (const event of ["mouseenter", "focus", "click"]) chip.addEventListener(event, () => showTip(chip));
  for (const event of ["mouseleave", "blur"]) chip.addEventListener(event, hideTip);
}
// Focus scrolls: its tooltip goes with it.
addEventListener("scroll", () => (document.activeElement?.dataset.tip && !tip.hidden ? showTip(document.activeElement) : hideTip()), { passive: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
