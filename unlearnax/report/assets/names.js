// Names beside points, where there is room for them: greedy, and rather none than one that is cut or stands on another.
const LETTER = 6.1; // width of a letter and height of a line, in pixels, at the names' size
const ROW = 15;
const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
const SIDES = [
  { xanchor: "left", yanchor: "middle", xshift: 9, yshift: 0 }, { xanchor: "right", yanchor: "middle", xshift: -9, yshift: 0 },
  { xanchor: "center", yanchor: "bottom", xshift: 0, yshift: 8 }, { xanchor: "center", yanchor: "top", xshift: 0, yshift: -8 },
  { xanchor: "left", yanchor: "bottom", xshift: 8, yshift: 4 }, { xanchor: "right", yanchor: "bottom", xshift: -8, yshift: 4 },
  { xanchor: "left", yanchor: "top", xshift: 8, yshift: -4 }, { xanchor: "right", yanchor: "top", xshift: -8, yshift: -4 },
];
const boxOf = (text, [x, y], { xanchor, yanchor, xshift, yshift }) => {
  const width = LETTER * text.length;
  const left = x + xshift - { left: 0, right: width, center: width / 2 }[xanchor];
  const top = y - yshift - { top: 0, bottom: ROW, middle: ROW / 2 }[yanchor];
  return [left, top, left + width, top + ROW];
};
// points: {text, x, y, colour, bars}, the most important first; bars: half-widths of its intervals, [left, right, down, up].
const namesFor = (points, [[x0, x1], [y0, y1]], [width, height]) => {
  const at = ({ x, y }) => [((x - x0) / (x1 - x0)) * width, ((y1 - y) / (y1 - y0)) * height];
  const inside = points.filter(({ x, y }) => x > x0 && x < x1 && y > y0 && y < y1);
  const taken = inside.map((point) => { const [x, y] = at(point); return [x - 7, y - 7, x + 7, y + 7]; });
  const lines = inside.flatMap(({ x, y, bars: [left, right, down, up] }) => [
    [...at({ x: x - left, y }), ...at({ x: x + right, y })], [at({ x, y })[0], at({ x, y: y + up })[1], at({ x, y })[0], at({ x, y: y - down })[1]],
  ]);
  return inside.filter(({ text }) => text).flatMap((point) => {
    let best = null;
    for (const side of SIDES) {
      const box = boxOf(point.text, at(point), side);
      const fits = box[0] >= 0 && box[1] >= 0 && box[2] <= width && box[3] <= height && !taken.some((other) => overlap(box, other));
      const crossed = lines.filter((line) => overlap(box, line)).length;
      if (fits && (!best || crossed < best.crossed)) best = { box, side, crossed };
    }
    if (!best) return [];
    taken.push(best.box);
    return [{ x: point.x, y: point.y, text: escaped(point.text), showarrow: false, font: { size: 11, color: point.colour }, ...best.side }];
  });
};
