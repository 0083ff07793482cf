// Distributions over members: a stroke for each quantile, a thick line for the middle half, a dot for the median.
const STRIP = { label: 54, width: 170, lane: 17, pad: 4 };
const svgElement = (tag, attributes = {}, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
};
const spreadOf = (told) => told?.[4] ?? [];
const medianOf = (spread) => spread[(spread.length - 1) / 2];
const ends = (spread) => `${number(spread[0], 1)} to ${number(spread.at(-1), 1)}`;
// Wasserstein's distance of two distributions with the same levels.
const apart = (a, b) => a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
// One scale for all strips of a table, with 0 in it: above it the label has more than half of the probability.
const scaleOf = (spreads) => {
  const values = spreads.flat();
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const place = (value) => STRIP.label + STRIP.pad + ((value - low) / (high - low || 1)) * (STRIP.width - 2 * STRIP.pad);
  return { low, high, place };
};
const oracleClass = (name) => (name.startsWith("untraining") ? "u" : name.startsWith("unlearning") ? "l" : "other");
const shortName = (name) => {
  const brief = name.match(/A\(.*\)/)?.[0] ?? pretty(name);
  return brief.length > 10 ? `${brief.slice(0, 9)}…` : brief;
};
const laneOf = ({ name, kind, spread }, i, place) => {
  const middle = STRIP.lane * (i + 0.5) + STRIP.pad / 2;
  const group = svgElement("g", { class: `lane ${kind}` });
  group.append(svgElement("text", { x: 0, y: middle + 3.5 }, shortName(name)));
  if (!spread.length) return group;
  const line = (from, to, width) => svgElement("line", { x1: place(from), x2: place(to), y1: middle, y2: middle, "stroke-width": width });
  const quarter = Math.floor(spread.length / 4);
  group.append(line(spread[0], spread.at(-1), 1), line(spread[quarter], spread.at(-1 - quarter), 3));
  for (const value of spread) group.append(svgElement("line", { x1: place(value), x2: place(value), y1: middle - 5, y2: middle + 5, class: "stroke" }));
  group.append(svgElement("circle", { cx: place(medianOf(spread)), cy: middle, r: 3 }));
  return group;
};
const strip = (lanes, scale) => {
  const [width, height] = [STRIP.label + STRIP.width, STRIP.lane * lanes.length + STRIP.pad];
  const told = lanes.map(({ name, spread }) => (spread.length ? `${name}: median ${number(medianOf(spread), 1)}, ${ends(spread)}` : `${name}: not known`));
  const svg = svgElement("svg", { class: "strip", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Margins of the members. ${told.join("; ")}` });
  const zero = scale.place(0);
  svg.append(svgElement("line", { x1: zero, x2: zero, y1: 0, y2: height, class: "zero" }), ...lanes.map((lane, i) => laneOf(lane, i, scale.place)));
  return svg;
};
