// Single examples: where a candidate is farthest from an oracle, worst first.
const gallery = byId("examples");
const [exampleCandidate, exampleOracle, exampleBy, exampleRandom, exampleMore] = ["candidate", "oracle", "by", "random", "more"].map((name) => byId(`example-${name}`));
const PAGE = 12;
const listed = { count: PAGE };
const percent = (told) => (told ? `${number(100 * told[0], 0)} % [${number(100 * told[1], 0)}, ${number(100 * told[2], 0)}]` : "–");
const marginOf = (told) => (told && told[3] !== null ? number(told[3], 1) : "–");
const gap = (a, b) => { // what is worst; populations that do not tell of an example come last
  if (exampleBy.value === "spread") return spreadOf(a).length && spreadOf(b).length ? apart(spreadOf(a), spreadOf(b)) : -1;
  const i = exampleBy.value === "margin" ? 3 : 0;
  return a && b && a[i] !== null && b[i] !== null ? Math.abs(a[i] - b[i]) : -1;
};
const fillSelect = (select, names) => {
  const before = select.value;
  select.replaceChildren(...names.map((name) => element("option", name)));
  if (names.includes(before)) select.value = before;
};
const exampleRow = (example, ours, oracles, drawn) => {
  const row = element("tr");
  const head = element("th", "", { scope: "row" });
  if (example.png) head.append(element("img", "", { src: `data:image/png;base64,${example.png}`, alt: `${example.label}, number ${example.number}`, width: 48, height: 48 }));
  head.append(element("span", `${example.label}, no. ${example.number}`), element("span", example.slice, { class: "sub" }));
  const cells = [ours, ...oracles].map((told) => {
    const cell = element("td", percent(told), { class: "num" });
    cell.append(element("span", `margin ${marginOf(told)}`, { class: "sub" }));
    if (spreadOf(told).length) cell.append(element("span", `members ${ends(spreadOf(told))}`, { class: "sub" }));
    return cell;
  });
  row.append(head);
  if (drawn) {
    const cell = element("td");
    cell.append(drawn);
    row.append(cell);
  }
  row.append(...cells);
  return row;
};
const drawExamples = () => {
  const found = explored[chosen.problem]?.examples;
  gallery.hidden = !found;
  if (!found) return;
  fillSelect(exampleCandidate, Object.keys(found.candidates));
  fillSelect(exampleOracle, Object.keys(found.oracles));
  const ours = found.candidates[exampleCandidate.value];
  const names = Object.keys(found.oracles);
  const against = found.oracles[exampleOracle.value];
  const kept = Object.values(found.oracles).flat().some((told) => spreadOf(told).length); // older runs have means only
  for (const part of all("[data-spread]")) part.hidden = !kept;
  if (!kept && exampleBy.value === "spread") exampleBy.value = "margin";
  const order = found.examples.map((_, i) => i).filter((i) => ours[i] && (!exampleRandom.checked || found.examples[i].random));
  order.sort((a, b) => gap(ours[b], against[b]) - gap(ours[a], against[a]));
  const table = byId("example-table");
  const listing = order.slice(0, listed.count).map((i) => ({ example: found.examples[i], ours: ours[i], oracles: names.map((name) => found.oracles[name][i]) }));
  const spreads = listing.flatMap((each) => [each.ours, ...each.oracles].map(spreadOf));
  const scale = scaleOf(spreads);
  const lanes = (each) => [
    { name: exampleCandidate.value, kind: "candidate", spread: spreadOf(each.ours) },
    ...names.map((name, i) => ({ name, kind: oracleClass(name), spread: spreadOf(each.oracles[i]) })),
  ];
  const head = element("tr");
  head.append(...["example", exampleCandidate.value, ...names].map((name, i) => element("th", name, { scope: "col", class: i ? "num" : "" })));
  if (kept) {
    const title = element("th", "margins of the members", { scope: "col", "data-fixed": "" });
    title.append(element("span", `from ${number(scale.low, 1)} to ${number(scale.high, 1)}, line at 0`, { class: "sub" }));
    head.firstChild.after(title);
  }
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...listing.map((each) => exampleRow(each.example, each.ours, each.oracles, kept && strip(lanes(each), scale))));
  exampleMore.hidden = order.length <= listed.count;
  exampleMore.textContent = `Show ${order.length - listed.count} more`;
};
if (gallery) {
  redraws.push(drawExamples);
  for (const input of [exampleCandidate, exampleOracle, exampleBy, exampleRandom]) input.addEventListener("change", () => { listed.count = PAGE; drawExamples(); });
  exampleMore.addEventListener("click", () => { listed.count = Infinity; drawExamples(); });
}
