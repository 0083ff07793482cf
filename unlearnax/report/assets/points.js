// The points of the compass as a table, for the keyboard and for readers of the screen: focus shows what pointing at one shows.
const pointTable = byId("point-table");
const plain = (html) => new DOMParser().parseFromString(html.replace(/<br>/g, "\n"), "text/html").body.textContent;
const candidates = (spec) => spec.data.filter((trace) => trace.meta.candidate && shown(trace.meta.candidate));
const range = (value, error) => `[${number(value - error.arrayminus[0])}, ${number(value + error.array[0])}]`;
const placeCells = (trace) => [[trace.x[0], trace.error_x], [trace.y[0], trace.error_y]].filter(([, error]) => error).map(([value, error]) => {
  const cell = element("td", number(value), { class: "num" });
  cell.append(element("span", range(value, error), { class: "sub" }));
  return cell;
});
const within = (value, axis) => axis.type === "category" || (value >= axis.range[0] && value <= axis.range[1]);
// In every plot that holds it the point lights up as if it were pointed at.
const point = (candidate) => {
  for (const plot of all(".plot", stage)) {
    if (!plot.data || plot.closest("figure").hidden) continue;
    const curveNumber = plot.data.findIndex((trace) => trace.meta.candidate === candidate);
    const trace = plot.data[curveNumber];
    if (trace && within(trace.x[0], plot.layout.xaxis) && within(trace.y[0], plot.layout.yaxis)) Plotly.Fx.hover(plot, [{ curveNumber, pointNumber: 0 }]);
  }
};
const unpoint = () => { for (const plot of all(".plot", stage)) if (plot.data) Plotly.Fx.unhover(plot); };
const pointRow = (candidate, traces) => {
  const row = element("tr", "", { "data-candidate": candidate });
  const told = traces.filter(Boolean)[0].hovertemplate.replace(/^<b>.*?<\/b><br>(to [^<]*<br>)*/, "");
  const button = element("button", candidate, { type: "button", class: "tool", "aria-describedby": "tip", "data-tip": plain(told) });
  for (const event of ["focus", "mouseenter"]) button.addEventListener(event, () => { showTip(button); point(candidate); });
  for (const event of ["blur", "mouseleave"]) button.addEventListener(event, () => { hideTip(); unpoint(); });
  button.addEventListener("click", () => showTip(button));
  const head = element("th", "", { scope: "row" });
  const box = element("span"); // a button right below a header sorts
  box.append(button);
  head.append(box);
  row.append(head, ...traces.flatMap((trace) => (trace ? placeCells(trace) : [element("td", "–"), element("td", "–")])));
  return row;
};
const fillPoints = (found) => {
  const names = [...new Set(found.flatMap((spec) => candidates(spec).map((trace) => trace.meta.candidate)))];
  const axes = found.some((spec) => spec.views.whole) ? ["untraining", "unlearning"] : [""];
  const [forms, head] = [element("tr", "", { class: "groups" }), element("tr")];
  forms.append(element("td"), ...found.map((spec) => element("th", spec.form, { colspan: axes.length, scope: "colgroup" })));
  head.append(element("th", "candidate", { scope: "col" }), ...found.flatMap(() => axes.map((axis) => element("th", axis ? `to ${axis} oracle` : "distance", { scope: "col", class: "num" }))));
  pointTable.tHead.replaceChildren(forms, head);
  pointTable.tBodies[0].replaceChildren(...names.map((name) => pointRow(name, found.map((spec) => candidates(spec).find((trace) => trace.meta.candidate === name)))));
};
// What the picture says, in a sentence: how many, and who is nearest to what.
const summary = (spec) => {
  const traces = candidates(spec).filter((trace) => !trace.meta.control);
  const nearest = (at) => {
    const best = traces.reduce((a, b) => (at(b) < at(a) ? b : a));
    return `${best.meta.candidate}, ${number(at(best))}`;
  };
  if (!traces.length) return `Distances, ${spec.form}: no algorithm is shown.`;
  const to = spec.views.whole
    ? `Nearest to the untraining oracle: ${nearest((t) => t.x[0])}; to the unlearning oracle: ${nearest((t) => t.y[0])}.`
    : `Nearest: ${nearest((t) => t.x[0])}.`;
  return `Distances, ${spec.form}: ${traces.length} algorithms. ${to} All are in the table of points.`;
};
