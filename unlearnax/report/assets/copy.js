// Tables as CSV, Markdown or LaTeX, as they are shown: in their order, without the rows that a filter hides.
const put = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page from a file may not use the clipboard's own interface
    const area = element("textarea", "", { "aria-hidden": "true" });
    area.value = text;
    area.style.cssText = "position:fixed;top:0;opacity:0";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
const copied = async (button, text) => {
  await put(text);
  const before = button.textContent;
  button.textContent = "Copied";
  announce(before.startsWith("Copy") ? before.replace("Copy", "Copied") : `Copied as ${before}`);
  button.disabled = true;
  setTimeout(() => { button.textContent = before; button.disabled = false; button.focus({ preventScroll: true }); }, 900);
};

// What a reader sees of a cell: no signs for the eye only, no words for the ear only, no second goal for phones.
const words = (cell) => {
  const copy = cell.cloneNode(true);
  for (const part of all(".hidden, .narrow, [aria-hidden]", copy)) part.remove();
  for (const part of all(".sub, .seed", copy)) part.prepend(" ");
  return copy.textContent.replace(/\s+/g, " ").trim();
};
const matrix = (table) => {
  const rows = table.tHead ? [...table.tHead.rows] : [];
  const fixed = rows.length ? [...rows[rows.length - 1].cells].map((th) => th.hasAttribute("data-fixed")) : [];
  const spread = (row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(words(cell)));
  const levels = rows.map(spread);
  const head = levels.length ? levels[levels.length - 1].map((_, i) => levels.map((level) => level[i]).filter(Boolean).join(": ")) : [];
  const body = [...table.tBodies, ...(table.tFoot ? [table.tFoot] : [])].flatMap((part) => [...part.rows]);
  const lines = body.filter((row) => !row.hidden).map(spread);
  return (head.length ? [head, ...lines] : lines).map((line) => line.filter((_, i) => !fixed[i]));
};

const SIGNS = {
  "−": "$-$", "∖": "$\\setminus$", "≈": "$\\approx$", "≥": "$\\geq$", "≤": "$\\leq$", "↓": "$\\downarrow$", "↑": "$\\uparrow$",
  "→": "$\\to$", "×": "$\\times$", "τ": "$\\tau$", "ε": "$\\varepsilon$", "μ": "$\\mu$", "·": "$\\cdot$", "–": "--",
  "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "|": "$|$", "<": "$<$", ">": "$>$",
};
const latex = (text) => text.replace(/[−∖≈≥≤↓↑→×τεμ·–\\~^|<>]|[&%$#_{}]/g, (sign) => SIGNS[sign] ?? `\\${sign}`);
const FORMATS = {
  CSV: (lines) => lines.map((line) => line.map((text) => {
    const plain = text.replace(/−/g, "-");
    return /[",\n]/.test(plain) ? `"${plain.replace(/"/g, '""')}"` : plain;
  }).join(",")).join("\n"),
  Markdown: ([head, ...lines]) => [head, head.map(() => "---"), ...lines]
    .map((line) => `| ${line.map((text) => text.replace(/\|/g, "\\|")).join(" | ")} |`).join("\n"),
  LaTeX: ([head, ...lines]) => [
    `\\begin{tabular}{l${"r".repeat(head.length - 1)}} % needs booktabs`, "\\toprule", `${head.map(latex).join(" & ")} \\\\`,
    "\\midrule", ...lines.map((line) => `${line.map(latex).join(" & ")} \\\\`), "\\bottomrule", "\\end{tabular}",
  ].join("\n"),
};
for (const scroll of all(".scroll")) {
  const table = scroll.querySelector("table");
  const tools = element("div", "Copy as ", { class: "tools", role: "group", "aria-label": `Copy: ${scroll.getAttribute("aria-label")}` });
  for (const [name, format] of Object.entries(FORMATS)) {
    const button = element("button", name, { type: "button", class: "tool" });
    button.addEventListener("click", () => copied(button, `${format(matrix(table))}\n`));
    tools.append(button);
  }
  scroll.after(tools);
}
for (const button of all("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copied(button, byId(button.dataset.copy).textContent));
}
