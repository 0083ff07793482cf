// Kendall's τ-b between two rankings, and how far the intervals of what is ranked leave it open.
// A ranking is `values`, a number for each candidate, and `errors`: how far its 95 % interval reaches down and up, or none.
const tauOf = (score, inA, inB) => score / Math.sqrt(inA * inB);
// Whether the interval of a difference, of errors that are independent, holds 0; numbers that are exact are never open.
const isOpen = ({ values, errors }, i, j) => {
  const [low, high] = values[i] < values[j] ? [i, j] : [j, i];
  return values[high] - values[low] < Math.hypot(errors[low][1], errors[high][0]);
};
// τ's interval: every pair of candidates that one of the metrics leaves open stands in either order, the same or the reverse one.
// Knight's count is not needed: there are tens of candidates.
const agreement = (a, b) => {
  const known = [a, b].every(({ errors }) => errors.every(Boolean));
  let [score, inA, inB, settled, open, couldA, couldB, pairs] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < a.values.length; i += 1) {
    for (let j = 0; j < i; j += 1) {
      const [x, y] = [a, b].map(({ values }) => Math.sign(values[i] - values[j]));
      const [openA, openB] = [a, b].map((ranking) => known && isOpen(ranking, i, j));
      score += x * y;
      inA += x !== 0;
      inB += y !== 0;
      if (openA || openB) open += 1;
      else settled += x * y;
      couldA += x !== 0 || openA || openB;
      couldB += y !== 0 || openA || openB;
      pairs += 1;
    }
  }
  const tau = tauOf(score, inA, inB);
  if (!known || !Number.isFinite(tau)) return { tau, pairs };
  const [low, high] = [settled - open, settled + open].map((end) => Math.max(-1, Math.min(1, tauOf(end, couldA, couldB))));
  return { tau, low: Math.min(low, tau), high: Math.max(high, tau), open, pairs };
};
