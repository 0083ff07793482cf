// The compass: one plot for each form of the distance, which the slider moves from rate to rate.
const stage = document.querySelector(".stage");
const view = { name: "whole" };
const specs = new Map();
const specsOf = (problem) => {
  if (!specs.has(problem)) {
    specs.set(problem, all(`.panel[data-problem="${problem}"] script.spec`).map((script) => JSON.parse(script.textContent)));
  }
  return specs.get(problem);
};
// The untraining oracle's name comes first; marks of controls are kept clear, but not named.
const closePoints = (data) => data.filter((trace) => trace.visible).map((trace) => {
  const ends = ({ array: [up], arrayminus: [down] } = { array: [0], arrayminus: [0] }) => [down, up];
  const text = trace.meta.landmark ? trace.name.split(" A(")[0] : trace.meta.control ? "" : pretty(trace.meta.candidate);
  return { text, x: trace.x[0], y: trace.y[0], colour: trace.marker.color, bars: [...ends(trace.error_x), ...ends(trace.error_y)] };
});
const themed = (spec, t, plot) => {
  const data = structuredClone(spec.data).map((trace) => {
    const control = trace.meta.control;
    trace.marker.color = control ? t.ink : t.hue[trace.marker.color] ?? trace.marker.color;
    trace.marker.line = { ...trace.marker.line, color: control ? t.ink : t.card };
    for (const error of [trace.error_x, trace.error_y]) if (error) error.color = trace.marker.color;
    trace.visible = trace.meta.landmark || shown(trace.meta.candidate);
    trace.hoverlabel = t.hover;
    return trace;
  });
  const layout = dressed(structuredClone(spec.layout), t);
  const ranges = spec.views[view.name];
  if (ranges) { layout.xaxis.range = [...ranges[0]]; layout.yaxis.range = [...ranges[1]]; }
  // Notes of candidates go with them; the close-up, which lies elsewhere, has names of its own.
  layout.annotations = layout.annotations.filter((note) => !note.name || shown(note.name));
  if (view.name === "close" && ranges) layout.annotations = namesFor(closePoints(data), ranges, [plot.clientWidth - 90, spec.height - 70]);
  for (const note of layout.annotations) {
    note.font.color = t.hue[note.font.color] ?? note.font.color ?? t.ink;
    note.arrowcolor = t.ink;
  }
  for (const shape of layout.shapes) if (shape.type === "line") shape.line.color = t.soft;
  // A reader's zoom survives a switched candidate, not a switched view or problem.
  layout.uirevision = `${view.name} ${chosen.problem}`;
  return [data, layout];
};
const drawCompass = () => {
  const [found, t] = [specsOf(chosen.problem), theme()];
  stage.hidden = !found.length;
  stage.querySelector(".views").hidden = !found.some((spec) => spec.views.whole);
  for (const figure of all("figure", stage)) {
    const spec = found[figure.dataset.figure];
    figure.hidden = !spec;
    if (!spec) continue;
    figure.querySelector("figcaption").textContent = spec.form;
    const plot = figure.querySelector(".plot");
    plot.style.height = `${spec.height}px`;
    plot.setAttribute("aria-label", summary(spec));
    const [data, layout] = themed(spec, t, plot);
    // Points travel where only the rate changed; from one kind of plot to another there is no way.
    const kind = `${Boolean(spec.views.whole)} ${data.map((trace) => trace.name)}`;
    if (plot.kind === kind && plot.problem !== chosen.problem && !calm.matches) layout.transition = { duration: 350, easing: "cubic-in-out" };
    [plot.kind, plot.problem] = [kind, chosen.problem];
    Plotly.react(plot, data, layout, CONFIG);
  }
  fillPoints(found);
};
if (stage) {
  redraws.push(drawCompass);
  const viewers = all("[data-view]");
  for (const button of viewers) button.addEventListener("click", () => {
    view.name = button.dataset.view;
    press(viewers, button);
    drawCompass();
  });
}
