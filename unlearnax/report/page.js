"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Tables: a click on a header sorts by it; cells without a number go last, either way.
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.key ?? cell.textContent.trim();
    const number = Number(text);
    if (text === "" || text === "–") return null;
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const table of all("table.sortable")) {
    const head = table.tHead.rows[table.tHead.rows.length - 1];
    [...head.cells].forEach((th, column) => {
      if (th.hasAttribute("data-fixed")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      button.append(...[...th.childNodes].filter((node) => !node.classList?.contains("sub")));
      th.prepend(button);
      button.addEventListener("click", () => {
        const up = th.getAttribute("aria-sort") !== "ascending";
        for (const other of head.cells) other.removeAttribute("aria-sort");
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : up ? compare(a, b) : compare(b, a)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Tooltips of verdicts, for pointer, finger and keyboard.  Text only: nothing is parsed.
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (chip) => {
    if (!chip.dataset.tip) return;
    tip.textContent = chip.dataset.tip;
    tip.hidden = false;
    const at = chip.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
    tip.style.top = at.bottom + size.height + 8 < innerHeight ? `${at.bottom + 6}px` : `${at.top - size.height - 6}px`;
  };
  for (const chip of all(".chip")) {
    for (const event of ["mouseenter", "focus", "click"]) chip.addEventListener(event, () => show(chip));
    for (const event of ["mouseleave", "blur"]) chip.addEventListener(event, hide);
  }
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Plots are drawn when their panel is first seen, and redrawn when the theme changes.
  const off = new Set();
  const view = { name: "whole" };
  const themed = (spec) => {
    const [ink, line, card] = [colour("--ink"), colour("--line"), colour("--card")];
    const [u, l] = [colour("--u"), colour("--l")];
    // The oracles' hues are lighter in the dark theme, to keep their names readable.
    const hue = { "#0072b2": u, "#d55e00": l };
    const data = structuredClone(spec.data).map((trace) => {
      const control = trace.meta.control;
      trace.marker.color = control ? ink : hue[trace.marker.color] ?? trace.marker.color;
      trace.marker.line = { ...trace.marker.line, color: control ? ink : card };
      for (const error of [trace.error_x, trace.error_y]) if (error) error.color = trace.marker.color;
      trace.visible = !off.has(trace.meta.candidate);
      trace.hoverlabel = { align: "left", bgcolor: card, bordercolor: line, font: { color: ink, size: 12 } };
      return trace;
    });
    const layout = structuredClone(spec.layout);
    for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, { gridcolor: line, linecolor: line, automargin: true });
    const ranges = spec.views[view.name];
    if (ranges) { layout.xaxis.range = [...ranges[0]]; layout.yaxis.range = [...ranges[1]]; }
    if (view.name === "close" && ranges) layout.annotations = [];
    for (const note of layout.annotations) {
      note.font.color = hue[note.font.color] ?? note.font.color ?? ink;
      note.arrowcolor = ink;
    }
    for (const shape of layout.shapes) if (shape.type === "line") shape.line.color = colour("--soft");
    layout.uirevision = view.name; // a reader's zoom survives a switched candidate, not a switched view
    Object.assign(layout, { paper_bgcolor: card, plot_bgcolor: card, font: { color: ink, size: 12, family: getComputedStyle(document.body).fontFamily } });
    return [data, layout];
  };
  const config = { displaylogo: false, responsive: true, showLink: false, plotlyServerURL: "", modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
  const draw = () => {
    for (const figure of all(".panel:not([hidden]) figure")) {
      figure.spec ??= JSON.parse(figure.querySelector("script").textContent);
      Plotly.react(figure.querySelector(".plot"), ...themed(figure.spec), config);
    }
  };
  const press = (buttons, chosen) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));
  const choose = (index) => {
    for (const panel of all(".panel")) panel.hidden = panel.dataset.problem !== index;
    draw();
  };
  const choosers = all("[data-choose]");
  for (const button of choosers) button.addEventListener("click", () => { press(choosers, button); choose(button.dataset.choose); });
  const viewers = all("[data-view]");
  for (const button of viewers) button.addEventListener("click", () => {
    view.name = button.dataset.view;
    for (const b of viewers) b.setAttribute("aria-pressed", String(b.dataset.view === view.name));
    draw();
  });

  // The legend is made of switches that every plot obeys.
  const shapes = {
    circle: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10z", square: "M1.5 1.5h9v9h-9z", "triangle-up": "M6 1l5.4 9.5H.6z", "triangle-down": "M6 11l5.4-9.5H.6z",
    cross: "M4.2 1h3.6v3.2H11v3.6H7.8V11H4.2V7.8H1V4.2h3.2z", x: "M3.3 1L6 3.7 8.7 1 11 3.3 8.3 6 11 8.7 8.7 11 6 8.3 3.3 11 1 8.7 3.7 6 1 3.3z",
  };
  for (const button of all(".key")) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "-1 -1 14 14");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const fill = button.dataset.colour;
    path.setAttribute("d", shapes[button.dataset.shape]);
    path.setAttribute("style", fill ? `fill:${fill}` : "fill:none;stroke:currentColor;stroke-width:1.6");
    svg.append(path);
    button.prepend(svg);
    button.addEventListener("click", () => {
      const name = button.dataset.candidate;
      if (!off.delete(name)) off.add(name);
      button.setAttribute("aria-pressed", String(!off.has(name)));
      draw();
    });
  }
  dark.addEventListener("change", draw);
  if (all(".panel").length) choose("0");
})();
