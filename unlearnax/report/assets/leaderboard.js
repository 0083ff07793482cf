// Rows of both tables that the filter lets through: an entry by all it says, a candidate if one of its entries is shown.
const [filterText, filterGoal, filterSetting, filterControls] = ["text", "goal", "setting", "controls"].map((name) => byId(`filter-${name}`));
const simple = (text) => text.toLowerCase().replace(/[\s_-]+/g, " ").trim();
const rows = all("#entries tr[data-name]");
const applyFilter = () => {
  const text = simple(filterText.value);
  const names = new Set();
  for (const row of rows) {
    const { name, goal, setting, words } = row.dataset;
    const fits = goal === "control" ? filterControls.checked : !filterGoal.value || goal === filterGoal.value;
    row.hidden = !fits || (filterSetting.value && setting !== filterSetting.value) || !simple(`${name} ${goal} ${words}`).includes(text);
    if (!row.hidden) names.add(name);
  }
  for (const row of all(".verdicts tr[data-name]")) row.hidden = !names.has(row.dataset.name);
  const count = rows.filter((row) => !row.hidden).length;
  byId("filter-count").textContent = count < rows.length ? `${count} of ${rows.length} entries` : "";
};
document.querySelector(".filter").hidden = false;
filterText.addEventListener("input", applyFilter);
for (const input of [filterGoal, filterSetting, filterControls]) input.addEventListener("change", applyFilter);
