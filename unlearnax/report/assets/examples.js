// Single examples: where a candidate is farthest from an oracle, worst first.
const gallery = byId("examples");
const [exampleCandidate, exampleOracle, exampleBy, exampleRandom, exampleMore] = ["candidate", "oracle", "by", "random", "more"].map((name) => byId(`example-${name}`));
const PAGE = 12;
const listed = { count: PAGE };
const percent = (told) => (told ? `${number(100 * told[0], 0)} % [${number(100 * told[1], 0)}, ${number(100 * told[2], 0)}]` : "–");
const marginOf = (told) => (told && told[3] !== null ? number(told[3], 1) : "–");
const gap = (a, b) => { // what is worst; populations that do not tell of an example come last
  const i = exampleBy.value === "margin" ? 3 : 0;
  return a && b && a[i] !== null && b[i] !== null ? Math.abs(a[i] - b[i]) : -1;
};
const fillSelect = (select, names) => {
  const before = select.value;
  select.replaceChildren(...names.map((name) => element("option", name)));
  if (names.includes(before)) select.value = before;
};
const exampleRow = (example, ours, oracles) => {
  const row = element("tr");
  const head = element("th", "", { scope: "row" });
  if (example.png) head.append(element("img", "", { src: `data:image/png;base64,${example.png}`, alt: `${example.label}, number ${example.number}`, width: 48, height: 48 }));
  head.append(element("span", `${example.label}, no. ${example.number}`), element("span", example.slice, { class: "sub" }));
  const cells = [ours, ...oracles].map((told) => {
    const cell = element("td", percent(told), { class: "num" });
    cell.append(element("span", `margin ${marginOf(told)}`, { class: "sub" }));
    return cell;
  });
  row.append(head, ...cells);
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
  const order = found.examples.map((_, i) => i).filter((i) => ours[i] && (!exampleRandom.checked || found.examples[i].random));
  order.sort((a, b) => gap(ours[b], against[b]) - gap(ours[a], against[a]));
  const table = byId("example-table");
  const head = element("tr");
  head.append(...["example", exampleCandidate.value, ...names].map((name, i) => element("th", name, { scope: "col", class: i ? "num" : "" })));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...order.slice(0, listed.count).map((i) => exampleRow(found.examples[i], ours[i], names.map((name) => found.oracles[name][i]))));
  exampleMore.hidden = order.length <= listed.count;
  exampleMore.textContent = `Show ${order.length - listed.count} more`;
};
if (gallery) {
  redraws.push(drawExamples);
  for (const input of [exampleCandidate, exampleOracle, exampleBy, exampleRandom]) input.addEventListener("change", () => { listed.count = PAGE; drawExamples(); });
  exampleMore.addEventListener("click", () => { listed.count = Infinity; drawExamples(); });
}
