// Which candidates are shown, in every table and plot: those that the filter lets through and no switch turns off.
const keys = all(".key");
const off = new Set(); // turned off by a switch: in the plots only
const filtered = new Set(); // kept out by the filter: everywhere
const redraws = [];
const shown = (candidate) => !off.has(candidate) && !filtered.has(candidate);
const changed = () => redraws.forEach((redraw) => redraw());
const simple = (text) => text.toLowerCase().replace(/[\s_-]+/g, " ").trim();

const [filterText, filterGoal, filterControls] = ["filter-text", "filter-goal", "filter-controls"].map(byId);
const applyFilter = () => {
  const text = simple(filterText.value);
  filtered.clear();
  for (const { dataset } of keys) {
    const control = dataset.goal === "control";
    const fits = control ? filterControls.checked : !filterGoal.value || dataset.goal === filterGoal.value;
    if (!fits || !simple(`${dataset.candidate} ${dataset.goal} ${dataset.words}`).includes(text)) filtered.add(dataset.candidate);
  }
  const known = new Set(keys.map((button) => button.dataset.candidate));
  for (const row of all("tr[data-candidate]")) {
    // The oracles' own rows, which have no switch, are controls.
    const name = row.dataset.candidate;
    row.hidden = known.has(name) ? filtered.has(name) : !filterControls.checked || !simple(name).includes(text);
  }
  for (const button of keys) button.hidden = filtered.has(button.dataset.candidate);
  byId("filter-count").textContent = filtered.size ? `${keys.length - filtered.size} of ${keys.length} candidates` : "";
  byId("unfilter").hidden = !filtered.size;
  changed();
};
if (filterText) {
  filterText.closest(".filter").hidden = false;
  filterText.addEventListener("input", applyFilter);
  for (const input of [filterGoal, filterControls]) input.addEventListener("change", applyFilter);
  byId("unfilter").addEventListener("click", () => {
    [filterText.value, filterGoal.value, filterControls.checked] = ["", "", true];
    applyFilter();
    byId("rate").focus();
  });
}

// The legend is made of switches that every plot obeys.
const OUTLINES = {
  circle: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10z", square: "M1.5 1.5h9v9h-9z", "triangle-up": "M6 1l5.4 9.5H.6z", "triangle-down": "M6 11l5.4-9.5H.6z",
  cross: "M4.2 1h3.6v3.2H11v3.6H7.8V11H4.2V7.8H1V4.2h3.2z", x: "M3.3 1L6 3.7 8.7 1 11 3.3 8.3 6 11 8.7 8.7 11 6 8.3 3.3 11 1 8.7 3.7 6 1 3.3z",
};
for (const button of keys) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-1 -1 14 14");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const fill = button.dataset.colour;
  path.setAttribute("d", OUTLINES[button.dataset.shape]);
  path.setAttribute("style", fill ? `fill:${fill}` : "fill:none;stroke:currentColor;stroke-width:1.6");
  svg.append(path);
  button.prepend(svg);
  button.addEventListener("click", () => {
    const name = button.dataset.candidate;
    if (!off.delete(name)) off.add(name);
    button.setAttribute("aria-pressed", String(!off.has(name)));
    changed();
  });
}
