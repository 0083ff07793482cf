// Cost against distance to each oracle, with the line of what nothing cheaper comes nearer than.
const frontier = byId("frontier");
const [costKind, formKind, costLog] = ["frontier-cost", "frontier-form", "frontier-log"].map(byId);
const distanceOf = (forms) => {
  if (formKind.value !== "worse") return forms[formKind.value];
  return Object.values(forms).reduce((a, b) => (b[0] > a[0] ? b : a));
};
const best = (points) => {
  const line = [];
  for (const point of [...points].sort((a, b) => a.x - b.x || a.y - b.y)) {
    if (!line.length || point.y < line.at(-1).y) line.push(point);
  }
  return line;
};
const stairs = (line, end) => {
  const [x, y] = [[], []];
  line.forEach((point, i) => { x.push(point.x, line[i + 1]?.x ?? Math.max(end, point.x)); y.push(point.y, point.y); });
  return { x, y };
};
const frontierPlot = (oracle, found, t) => {
  const points = found.points.flatMap((point) => {
    const [forms, cost] = [point.distances[oracle], point.costs[costKind.value]];
    const far = forms && distanceOf(forms);
    if (!far || cost === undefined || !shown(point.candidate) || (costLog.checked && cost <= 0)) return [];
    return [{ name: point.candidate, control: point.control, x: 100 * cost, y: far[0], low: far[1], high: far[2] }];
  });
  // Retraining is at 100 % and 0: what costs as much is never on the line.
  const line = best(points.filter(({ control, name, x }) => x < 100 && (!control || name === "do_nothing")));
  const blue = colour(oracle.startsWith("unlearning") ? "--l" : "--u");
  const data = [
    { type: "scatter", mode: "lines", ...stairs(line, 100), line: { color: t.soft, width: 1.4, dash: "dot" }, hoverinfo: "skip", name: "frontier" },
    { type: "scatter", mode: "markers", x: [100], y: [0], marker: { symbol: "diamond", size: 15, color: blue }, hoverinfo: "text", hovertext: ["retraining"], hoverlabel: t.hover, name: "retraining" },
    ...points.map((point) => {
      const mark = markOf(point.name, t);
      return {
        type: "scatter", mode: "markers", name: escaped(point.name), x: [point.x], y: [point.y], marker: mark, hoverinfo: "text", hoverlabel: t.hover,
        error_y: { type: "data", symmetric: false, array: [Math.max(point.high - point.y, 0)], arrayminus: [Math.max(point.y - point.low, 0)], thickness: 1.2, width: 3, color: mark.color },
        hovertext: [`<b>${escaped(point.name)}</b><br>${number(point.x, 1)} % of a retrain<br>distance ${number(point.y)} [${number(point.low)}, ${number(point.high)}]`],
      };
    }),
  ];
  const layout = dressed({
    xaxis: { title: { text: "% of a retrain", standoff: 8 }, type: costLog.checked ? "log" : "linear", zeroline: false, rangemode: "tozero" },
    yaxis: { title: { text: "distance", standoff: 6 }, zeroline: true, zerolinecolor: t.line },
    margin: { l: 52, r: 14, t: 10, b: 46 },
  }, t);
  return [data, layout, line];
};
const drawFrontier = () => {
  const found = explored[chosen.problem]?.frontier ?? { oracles: [], points: [] };
  frontier.hidden = !found.points.length;
  if (frontier.hidden) return;
  const [box, t, notes] = [byId("frontier-plots"), theme(), []];
  while (box.children.length > found.oracles.length) box.lastChild.remove();
  while (box.children.length < found.oracles.length) { // all before the first is drawn: they share the width
    const figure = element("figure");
    figure.append(element("figcaption"), element("div", "", { class: "plot", style: "height:340px", role: "img" }));
    box.append(figure);
  }
  found.oracles.forEach((oracle, i) => {
    const [caption, plot] = box.children[i].children;
    const [data, layout, line] = frontierPlot(oracle, found, t);
    caption.textContent = `to the ${oracle}`;
    const names = line.map(({ name }) => name).join(", ") || "nothing";
    plot.setAttribute("aria-label", `Cost against distance to the ${oracle}; on the frontier: ${names}`);
    notes.push(`On the frontier to the ${oracle}: ${names}.`);
    Plotly.react(plot, data, layout, CONFIG);
  });
  byId("frontier-note").textContent = notes.join(" ");
};
if (frontier) {
  redraws.push(drawFrontier);
  for (const input of [costKind, formKind, costLog]) input.addEventListener("change", drawFrontier);
}
