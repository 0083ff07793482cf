// What all plots share: the theme's colours, marks, and the problem that is chosen.
const chosen = { problem: 0 };
const CONFIG = {
  displaylogo: false, responsive: true, showLink: false, plotlyServerURL: "",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const pretty = (name) => name.replace(/_/g, " ");
// plotly reads a subset of HTML in names and hover texts.
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const theme = () => {
  const [ink, soft, line, card, u, l] = ["--ink", "--soft", "--line", "--card", "--u", "--l"].map(colour);
  return {
    ink, soft, line, card,
    hue: { "#0072b2": u, "#d55e00": l }, // the oracles', lighter in the dark theme to keep their names readable
    hover: { align: "left", bgcolor: card, bordercolor: line, font: { color: ink, size: 12 } },
  };
};
const dressed = (layout, t) => {
  for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, { gridcolor: t.line, linecolor: t.line, automargin: true });
  return Object.assign(layout, {
    paper_bgcolor: t.card, plot_bgcolor: t.card, hovermode: "closest", showlegend: false,
    font: { color: t.ink, size: 12, family: getComputedStyle(document.body).fontFamily },
  });
};
const markOf = (name, t) => {
  const { shape, colour: fill } = keys.find((button) => button.dataset.candidate === name).dataset;
  return { symbol: shape + (fill ? "" : "-open"), size: 10, color: fill ?? t.ink, line: { width: fill ? 0.8 : 1.6, color: fill ? t.card : t.ink } };
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
