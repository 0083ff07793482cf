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
const themed = (spec, t) => {
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
  // Notes of candidates go with them; in the close-up all go, it is elsewhere.
  layout.annotations = layout.annotations.filter((note) => !(view.name === "close" && ranges) && (!note.name || shown(note.name)));
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
    const [data, layout] = themed(spec, t);
    // Points travel where only the rate changed; from one kind of plot to another there is no way.
    const kind = `${Boolean(spec.views.whole)} ${data.map((trace) => trace.name)}`;
    if (plot.kind === kind && plot.problem !== chosen.problem && !calm.matches) layout.transition = { duration: 350, easing: "cubic-in-out" };
    [plot.kind, plot.problem] = [kind, chosen.problem];
    Plotly.react(plot, data, layout, CONFIG);
  }
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
