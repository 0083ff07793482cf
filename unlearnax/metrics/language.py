"""Metrics of unlearning in language models, as functions of probabilities, token ids and scores.

Truth ratio, forget quality and model utility: Maini et al., "TOFU: a task of fictitious unlearning for LLMs", 2024, arXiv
2401.06121, section 2.2.  PrivLeak: Shi et al., "MUSE: machine unlearning six-way evaluation", 2024, arXiv 2407.06460,
section 3.  Extraction: Carlini et al., "Quantifying memorization across neural language models", 2022, arXiv 2202.07646.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unlearnax import checks
from unlearnax.types import Array


def truth_ratio(wrong: Array, paraphrased: Array) -> np.ndarray:
    """How likely wrong answers are beside a paraphrase of the right one: geometric mean of the former over the latter.

    Args:
        wrong: `[N, A]` mean log-probabilities per token of A perturbed answers.
        paraphrased: `[N]` mean log-probability per token of the paraphrased right answer.

    Returns:
        `[N]` above 0: small where the model knows, about 1 where it does not tell them apart.

    Raises:
        ValueError: bad shapes, or log-probabilities above 0 or NaN.

    Source: Maini et al. 2024, arXiv 2401.06121, eq. 1 (its released code averages in logs, as here).
    """
    bad, good = np.asarray(wrong, np.float64), np.asarray(paraphrased, np.float64)
    if bad.ndim != 2 or not bad.shape[1] or good.shape != bad.shape[:1]:
        raise ValueError(f"Expected wrong of shape {bad.shape} to be [N, A] and paraphrased of shape {good.shape} [N].")
    if not ((bad <= 0).all() and (good <= 0).all()):
        raise ValueError("Expected log-probabilities to be at most 0, and not NaN.")
    return np.exp(bad.mean(1) - good)


class ForgetQuality(NamedTuple):
    """log10_p: of the two-sample Kolmogorov-Smirnov test, 0 at best.  samples: of the smaller side.

    More examples make any difference significant: values of other sample sizes do not compare.
    """

    log10_p: float
    samples: int


def ks_forget_quality(candidate: Array, oracle: Array) -> ForgetQuality:
    """Whether truth ratios on the forget set could be a retrained model's.

    Args:
        candidate: `[n]` truth ratios of the unlearned model.  oracle: `[k]` of the retrained one.

    Raises:
        ValueError: fewer than 2 on a side, other shapes, or NaN.

    Source: Maini et al. 2024, arXiv 2401.06121, forget quality (reported there as p or its logarithm).
    """
    a, b = (np.asarray(values, np.float64) for values in (candidate, oracle))
    if a.ndim != 1 or b.ndim != 1 or min(len(a), len(b)) < 2 or np.isnan(a).any() or np.isnan(b).any():
        raise ValueError(
            f"Expected candidate {a.shape} and oracle {b.shape} to be at least 2 numbers each, without NaN."
        )
    from scipy.stats import ks_2samp  # scipy.stats takes half a second to import

    _, p = ks_2samp(a, b)
    return ForgetQuality(float(np.log10(max(p, 1e-300))), min(len(a), len(b)))  # type: ignore[type-var]


def model_utility(scores: Array) -> float:
    """Harmonic mean of scores in [0, 1]; 0 where any is 0, so that no aspect can be lost unseen.

    Args:
        scores: `[K]`: probability, ROUGE and truth-ratio scores on retained, real-author and world-fact questions there.

    Raises:
        ValueError: no scores, or some outside [0, 1].

    Source: Maini et al. 2024, arXiv 2401.06121, model utility.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not len(scores) or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"Expected scores of shape {scores.shape} to be some numbers in [0, 1].")
    return float(len(scores) / (1 / scores).sum()) if (scores > 0).all() else 0.0


def _tokens(generated: Array, reference: Array, lengths: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, n = np.asarray(generated), np.asarray(reference), np.asarray(lengths)
    if a.ndim != 2 or a.shape != b.shape or n.shape != a.shape[:1]:
        raise ValueError(
            f"Expected generated {a.shape} and reference {b.shape} to be token ids [N, L] and lengths {n.shape} [N]."
        )
    if len(n) == 0 or n.min() < 1 or n.max() > a.shape[1]:
        raise ValueError(f"Expected lengths to be in [1, {a.shape[1]}].")
    return a, b, n


def exact_match(generated: Array, reference: Array, lengths: Array) -> np.ndarray:
    """Share of each reference's tokens that greedy generation gives in the same place.

    Args:
        generated, reference: token ids `[N, L]`.  lengths: `[N]`, how many of the reference's count.

    Returns:
        `[N]` in [0, 1].

    Raises:
        ValueError: bad shapes or lengths.
    """
    a, b, n = _tokens(generated, reference, lengths)
    inside = np.arange(a.shape[1]) < n[:, None]
    return ((a == b) & inside).sum(1) / n


def verbatim_extraction(generated: Array, reference: Array, lengths: Array, *, tokens: int = 50) -> np.ndarray:
    """Whether the first `tokens` tokens come out word for word, all of them where a reference is shorter.

    Args:
        generated, reference, lengths: see `exact_match`.  tokens: the source's 50.

    Returns:
        `[N]` bool.

    Raises:
        ValueError: bad shapes or lengths.

    Source: Carlini et al. 2022, arXiv 2202.07646, definition 3.1 (50 tokens).
    """
    checks.at_least_one("tokens", tokens)
    a, b, n = _tokens(generated, reference, lengths)
    inside = np.arange(a.shape[1]) < np.minimum(n, tokens)[:, None]
    return ((a == b) | ~inside).all(1)


def attack_auc(forget: Array, test: Array) -> np.ndarray:
    """P(a forgotten example scores above a test example) + ½ P(equal), for each model.

    Args:
        forget: `[M, n]` and test: `[M, k]` membership scores, higher for members: minus the loss, or the margin.

    Returns:
        `[M]` in [0, 1].

    Raises:
        ValueError: bad shapes or NaN.
    """
    a, b = (np.asarray(values, np.float64) for values in (forget, test))
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not a.size or not b.size:
        raise ValueError(f"Expected forget {a.shape} and test {b.shape} to be [M, n] and [M, k] of the same models.")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("Expected scores without NaN.")
    from scipy.stats import rankdata  # scipy.stats takes half a second to import

    ranks = rankdata(np.concatenate([a, b], axis=1), axis=1)[:, : a.shape[1]]
    wins = ranks.sum(1) - a.shape[1] * (a.shape[1] + 1) / 2
    return wins / (a.shape[1] * b.shape[1])


def priv_leak(candidate: Array, oracle: Array) -> float:
    """100 (AUC_u − AUC_r) / AUC_r of a membership attack on S.

    Here AUC counts forgotten examples as members, so that above 0 means more memory of S than the retrained model has
    (under-unlearning) and below 0 less (over-unlearning).  The source takes test examples as the positive class with the
    same formula, under which the sign is the other way round.

    Args:
        candidate: `[M]` and oracle: `[R]` AUCs of each model, from `attack_auc`.

    Returns:
        In per cent of the oracle's mean AUC.

    Raises:
        ValueError: fewer than 2 models on a side, AUCs outside [0, 1], or an oracle's mean of 0.

    Source: Shi et al. 2024, arXiv 2407.06460, PrivLeak.
    """
    a, b = (np.asarray(values, np.float64) for values in (candidate, oracle))
    if a.ndim != 1 or b.ndim != 1 or not all(((v >= 0) & (v <= 1)).all() for v in (a, b)):
        raise ValueError(f"Expected candidate {a.shape} and oracle {b.shape} to be AUCs [M] and [R] in [0, 1].")
    checks.enough_members("priv_leak", 2, len(a), len(b))
    if b.mean() == 0:
        raise ValueError("Expected the oracle's mean AUC to be above 0.")
    return float(100 * (a.mean() - b.mean()) / b.mean())
