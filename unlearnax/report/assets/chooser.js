// Which problem is shown: a series of problems, and in it the discovery rate on a slider.
const series = embedded("series-data");
const [slider, picker, rateShown] = ["rate", "series", "rate-shown"].map(byId);
const choose = () => {
  const problems = series[picker?.value ?? 0];
  slider.max = problems.length - 1;
  slider.disabled = problems.length < 2;
  const problem = problems[Math.min(slider.value, problems.length - 1)];
  const rate = problem.told;
  rateShown.textContent = problem.name === `rate ${rate}` ? `${rate}: ${problem.found}` : `${rate}: ${problem.found}, ${problem.name}`;
  slider.setAttribute("aria-valuetext", `${rate}, ${problem.found}`);
  chosen.problem = problem.index;
  for (const panel of all(".panel")) panel.hidden = Number(panel.dataset.problem) !== problem.index;
  changed();
};
if (series.length) {
  document.querySelector(".chooser").hidden = false;
  slider.addEventListener("input", choose);
  picker?.addEventListener("change", () => { slider.value = 0; choose(); });
  choose();
}
