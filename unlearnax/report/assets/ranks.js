// Do the metrics agree?  Candidates' ranks under several metrics, and how far each pair of rankings agrees.
const explored = embedded("explore-data");
const ranks = byId("ranks");
const compared = new Set();
const rankOf = (values, value) => { // ties share the mean of their ranks
  const [below, equal] = [values.filter((v) => v < value).length, values.filter((v) => v === value).length];
  return below + (equal + 1) / 2;
};
const ranked = (name) => shown(name) && keys.find((button) => button.dataset.candidate === name)?.dataset.goal !== "control";
const currentRanks = () => {
  const found = explored[chosen.problem]?.ranks ?? [];
  const oracle = byId("rank-oracle").value;
  return found.find((each) => each.oracle === oracle) ?? found[0];
};
const fillMetrics = () => {
  const found = explored[chosen.problem]?.ranks ?? [];
  const oracles = byId("rank-oracle");
  const before = oracles.value;
  oracles.replaceChildren(...found.map(({ oracle }) => element("option", oracle)));
  if (found.some(({ oracle }) => oracle === before)) oracles.value = before;
  const metrics = currentRanks()?.metrics ?? [];
  if (!metrics.some(({ name }) => compared.has(name))) for (const metric of metrics) if (metric.first) compared.add(metric.name);
  const boxes = metrics.map((metric) => {
    const label = element("label", "", { class: "check" });
    const box = element("input", "", { type: "checkbox", value: metric.name });
    box.checked = compared.has(metric.name);
    box.addEventListener("change", () => {
      if (!compared.delete(metric.name)) compared.add(metric.name);
      drawRanks();
    });
    label.append(box, ` ${pretty(metric.name)}, ${metric.slice}`);
    return label;
  });
  byId("rank-metrics").replaceChildren(element("legend", "Metrics compared", { class: "hidden" }), ...boxes);
};
const fillTaus = (metrics, columns) => {
  const table = byId("taus");
  const head = element("tr");
  head.append(element("th", "metric", { scope: "col" }), ...metrics.map(({ name }) => element("th", pretty(name), { scope: "col", class: "num" })));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...metrics.map((metric, i) => {
    const row = element("tr");
    row.append(element("th", pretty(metric.name), { scope: "row" }));
    metrics.forEach((other, j) => {
      const both = Object.keys(columns[i]).filter((name) => name in columns[j]);
      const found = agreement(...[i, j].map((k) => ({ values: both.map((name) => columns[k][name]), errors: both.map((name) => metrics[k].errors[name]) })));
      const there = Number.isFinite(found.tau);
      const told = found.low === undefined ? "" : `, ${found.open} of ${found.pairs} pairs open`;
      const cell = element("td", there ? number(found.tau) : "–", { class: "num warm", title: `${both.length} candidates${i === j ? "" : told}` });
      if (there) cell.style.setProperty("--heat", Math.max(0, (1 - found.tau) / 2));
      if (i !== j && told) cell.append(element("span", `[${number(found.low)}, ${number(found.high)}]`, { class: "sub" }));
      row.append(cell);
    });
    return row;
  }));
};
const drawRanks = () => {
  const found = currentRanks();
  ranks.hidden = !found;
  if (!found) return;
  const t = theme();
  const metrics = found.metrics.filter(({ name }) => compared.has(name));
  const columns = metrics.map(({ values }) => Object.fromEntries(Object.entries(values).filter(([name]) => ranked(name))));
  const names = [...new Set(columns.flatMap(Object.keys))];
  fillTaus(metrics, columns);
  // Narrow columns: the first break of a metric's name, and the oracle beside which it stands on a line of its own.
  const ticks = metrics.map(({ name }) => {
    const [metric, goal] = pretty(name).split(", ");
    const lines = escaped(metric).replace(/[ /]+/, "<br>");
    return goal ? `${lines}<br>${escaped(goal.replace(/ oracle.*/, ""))}` : lines;
  });
  const data = names.map((name) => {
    const mark = markOf(name, t);
    return {
      type: "scatter", mode: "lines+markers", name: escaped(name), x: metrics.map((_, i) => i), connectgaps: false,
      y: columns.map((column) => (name in column ? rankOf(Object.values(column), column[name]) : null)),
      line: { color: mark.color, width: 1.6 }, marker: mark, hoverinfo: "text", hoverlabel: t.hover,
      hovertext: metrics.map(({ name: metric, slice, shown: texts }) => `<b>${escaped(name)}</b><br>${escaped(pretty(metric))}, ${escaped(slice)}: ${texts[name] ?? "–"}`),
    };
  });
  const ends = names.map((name) => ({ name, rank: columns.length && rankOf(Object.values(columns.at(-1)), columns.at(-1)[name]) }));
  const narrow = innerWidth < 640;
  const widest = Math.max(...names.map((name) => name.length), 0); // a setting's name says its values at its end
  const layout = dressed({
    xaxis: { tickvals: metrics.map((_, i) => i), ticktext: ticks, range: [-0.25, metrics.length - 0.75], showgrid: true, zeroline: false, fixedrange: true },
    yaxis: { title: { text: "rank" }, range: [names.length + 0.6, 0.4], dtick: 1, zeroline: false, fixedrange: true },
    annotations: narrow ? [] : ends.filter(({ rank }) => rank).map(({ name, rank }) => ({
      x: 1, xref: "paper", y: rank, text: escaped(name), showarrow: false, xanchor: "left", xshift: 4, font: { size: 11, color: t.ink },
    })),
    margin: { l: 40, r: narrow ? 12 : Math.min(380, Math.max(130, 16 + 6.5 * widest)), t: 14, b: 60 },
  }, t);
  byId("rank-plot").style.height = `${130 + 24 * Math.max(names.length, 5)}px`;
  Plotly.react("rank-plot", data, layout, { ...CONFIG, displayModeBar: false });
  byId("rank-note").textContent = `${names.length} algorithms, ${metrics.length} of ${found.metrics.length} metrics; numbers where the metric is measured: ${metrics.map(({ name, slice }) => `${pretty(name)}, ${slice}`).join("; ")}.`;
};
const redrawRanks = () => { fillMetrics(); drawRanks(); };
if (ranks) {
  redraws.push(redrawRanks);
  byId("rank-oracle").addEventListener("change", redrawRanks);
}
