"""Population attacks: one attack a model, on the losses, confidences or entropies of many examples.

They ask whether the forgotten examples S look like training data, each model by itself.  50 % is no target: S and the test
examples differ in class and difficulty, so even a retrained model's value need not be 50 %.  The target is the oracle's
own value.  Directions differ: `u_mia` is an accuracy, `svc_mia` the share of S called *non-member*, `entropy_mia` the
share of S called *member*.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.special

from unlearnax import checks
from unlearnax.types import Array, Metric, View

CLIP = 100.0  # losses beyond it count as it, infinite ones too (as SCRUB's released code clips)
LIMIT = 500
_CHUNK = 32  # models fitted at once: their arrays stay in the processor's cache


def losses(logits: Array, labels: Array) -> np.ndarray:
    """Cross-entropy of the labels.

    Args:
        logits: `[..., N, C]`.  labels: `[N]` integers in [0, C).

    Returns:
        `[..., N]` float64, at least 0, in nats; +inf where the label's logit is -inf.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim < 2 or labels.shape != logits.shape[-2:-1]:
        raise ValueError(f"Expected labels of shape {labels.shape} to be [N] for logits [..., N, C] {logits.shape}.")
    own = np.take_along_axis(logits, np.broadcast_to(labels, logits.shape[:-1])[..., None], -1)[..., 0]
    return np.maximum(scipy.special.logsumexp(logits, axis=-1) - own, 0)


def entropies(logits: Array) -> np.ndarray:
    """Shannon entropy of the softmax outputs.

    Args:
        logits: `[..., C]`.

    Returns:
        `[...]` float64 in [0, ln C], in nats.
    """
    return scipy.special.entr(scipy.special.softmax(np.asarray(logits, np.float64), axis=-1)).sum(axis=-1)


def _scores(**arrays: Array) -> list[np.ndarray]:
    """Each `[M, ·]` in float64, of the same number of models and without NaN."""
    found = {name: np.asarray(values, np.float64) for name, values in arrays.items()}
    shapes = {name: values.shape for name, values in found.items()}
    if any(len(shape) != 2 for shape in shapes.values()) or len({shape[:1] for shape in shapes.values()}) != 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"Expected arrays [M, ·], a row a model, of the same models, got {said}.")
    for name, values in found.items():
        if np.isnan(values).any():
            raise ValueError(f"Expected {name} without NaN, has {np.isnan(values).sum()} of {values.size}.")
    return list(found.values())


def _shuffled(count: int, seed: int) -> np.ndarray:
    """A fixed order: neighbours in a data set share class or source (digits come as 0, 1, …, 9, 0, 1, …)."""
    return np.random.default_rng(seed).permutation(count)


def _spread(labels: np.ndarray, seed: int) -> np.ndarray:
    """The examples, one of each class in turn while it has any."""
    shuffled = _shuffled(len(labels), seed)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    classes = labels[by_class]
    turn = np.arange(len(labels)) - np.searchsorted(classes, classes, side="left")
    return by_class[np.lexsort((classes, turn))]


def _folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Each example's fold, dealt class by class, so that every fold has its share of every class."""
    shuffled = _shuffled(len(labels), seed)
    dealt = np.empty(len(labels), int)
    dealt[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % folds
    return dealt


def _matching_weights(forget_labels: np.ndarray, test_labels: np.ndarray) -> np.ndarray:
    """Weights of test examples, summing to 1, that give each class the share it has in S."""
    classes, counts = np.unique(forget_labels, return_counts=True)
    missing = np.setdiff1d(classes, test_labels)
    if len(missing):
        raise ValueError(
            f"Expected test_labels to hold every class of S, has no example of {', '.join(map(str, missing))}."
        )
    share = dict(zip(classes.tolist(), counts / counts.sum(), strict=True))
    found, inverse, held = np.unique(test_labels, return_inverse=True, return_counts=True)
    return (np.array([share.get(c, 0.0) for c in found.tolist()]) / held)[inverse]


def fit_logistic(x: np.ndarray, target: np.ndarray, weights: np.ndarray, *, penalty: float) -> tuple[np.ndarray, ...]:
    """Logistic regressions on one number, one for each model and row of weights, by Newton's method with halved steps.

    Args:
        x: `[M, L]`.  target: `[L]`, 0 or 1.  weights: `[F, L]`, at least 0.
        penalty: λ in Σ w (ln(1 + e^η) − t η) + λ slope²/2 with η = intercept + slope · x.

    Returns:
        slope, intercept: `[M, F]`.

    Raises:
        RuntimeError: no convergence.
    """
    parts = [_newton(x[at : at + _CHUNK], target, weights, penalty) for at in range(0, len(x), _CHUNK)]
    slope, intercept = (np.concatenate(each) for each in zip(*parts, strict=True))
    return slope, intercept


def _newton(x: np.ndarray, t: np.ndarray, w: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    centre = x.mean(axis=1, keepdims=True)  # the intercept is free: only the conditioning changes
    z = (x - centre)[:, None]  # [M, 1, L]
    at = np.zeros((2, len(x), len(w)))  # intercept, slope
    step, size, value = np.zeros_like(at), np.ones(at.shape[1:]), np.full(at.shape[1:], np.inf)
    for _ in range(200):
        trial = at + size * step
        eta = trial[0][..., None] + trial[1][..., None] * z
        p = scipy.special.expit(eta)
        new = ((np.logaddexp(0, eta) - t * eta) * w).sum(-1) + penalty * trial[1] ** 2 / 2
        good = new <= value + 1e-10 * (1 + np.abs(value))
        at, value = np.where(good, trial, at), np.where(good, new, value)
        residual, curve = (p - t) * w, p * (1 - p) * w
        g0, g1 = residual.sum(-1), (residual * z).sum(-1) + penalty * trial[1]
        h00, h01, h11 = curve.sum(-1) + 1e-12, (curve * z).sum(-1), (curve * z * z).sum(-1) + penalty
        det = h00 * h11 - h01**2
        newton = np.stack([h01 * g1 - h11 * g0, h01 * g0 - h00 * g1]) / det
        step, size = np.where(good, newton, step), np.where(good, 1.0, size / 2)
        if (-(g0 * newton[0] + g1 * newton[1]) < 1e-12 * (1 + value))[good].all() and (good | (size < 1e-6)).all():
            at = at + np.where(good, step, 0)  # the last step squares what is left of the error
            return at[1], at[0] - at[1] * centre
    raise RuntimeError("The logistic regression did not converge.")


def u_mia(
    forget_losses: Array,
    test_losses: Array,
    *,
    forget_labels: Array | None = None,
    test_labels: Array | None = None,
    folds: int = 10,
    penalty: float = 1.0,
    limit: int = LIMIT,
    seed: int = 0,
) -> np.ndarray:
    """Accuracy of a logistic regression on the loss that tells S from test examples.

    Cross-validated in disjoint folds, where the released code draws 10 random splits.  The released code cuts the larger
    side down to the smaller; here all examples count, either side with the same total weight, that of the smaller side (so
    the penalty is as strong), and the accuracy is the balanced one: the same in expectation, with less noise.

    Args:
        forget_losses: `[M, n]` of S.  test_losses: `[M, k]`; losses are clipped to ±100.
        forget_labels: `[n]` and test_labels: `[k]`, for the class-matched attack: test examples are weighted so that
            every class has the share it has in S, others are left out.
        folds: at least 2, at most n and k.
        penalty: on half the square of the slope (scikit-learn's 1/C).
        limit: at most so many examples a side, a fixed random choice (class-matched: of each class in turn).
        seed: of that choice and of the folds.

    Returns:
        `[M]` in [0, 1]: mean of the share of S called S and the (weighted) share of test examples called test.

    Raises:
        ValueError: bad shapes, NaN, fewer examples than folds, only one side's labels, or a class of S that the test
            side lacks.

    Source: Kurmanji et al., "Towards unbounded machine unlearning", 2023, arXiv 2302.09880 (basic membership attack),
    and the NeurIPS 2023 unlearning challenge's starting kit; called a population U-MIA in Hayes et al. 2024, arXiv
    2403.01218.
    """
    forget, test = _scores(forget_losses=forget_losses, test_losses=test_losses)
    checks.positive("penalty", penalty)
    checks.at_least_one("limit", limit)
    if (forget_labels is None) != (test_labels is None):
        raise ValueError("Expected both forget_labels and test_labels, or neither.")
    matched = forget_labels is not None
    y_forget, y_test = np.zeros(forget.shape[1], int), np.zeros(test.shape[1], int)
    if forget_labels is not None and test_labels is not None:
        y_forget, y_test = np.asarray(forget_labels), np.asarray(test_labels)
        if y_forget.shape != forget.shape[1:] or y_test.shape != test.shape[1:]:
            raise ValueError(f"Expected a label for each of {forget.shape[1]} and {test.shape[1]} examples, got shapes "
                             f"{y_forget.shape} and {y_test.shape}.")  # fmt: skip
        kept = np.isin(y_test, y_forget)
        test, y_test = test[:, kept], y_test[kept]
        _matching_weights(y_forget, y_test)  # a class that is missing is named before the choice below
    chosen = _shuffled(len(y_forget), seed)[:limit], _spread(y_test, seed + 1)[:limit]
    forget, y_forget, test, y_test = forget[:, chosen[0]], y_forget[chosen[0]], test[:, chosen[1]], y_test[chosen[1]]
    n, k = len(y_forget), len(y_test)
    checks.at_least_one("folds", folds)
    if not 2 <= folds <= min(n, k):
        raise ValueError(f"Expected folds={folds} in [2, {min(n, k)}], at most the {n} examples of S and {k} of test.")

    share = np.concatenate([np.full(n, 1 / n), _matching_weights(y_forget, y_test) if matched else np.full(k, 1 / k)])
    target = np.repeat([1.0, 0.0], [n, k])
    fold = np.concatenate([_folds(y_forget, folds, seed + 2), _folds(y_test, folds, seed + 3)])
    training = fold[None] != np.arange(folds)[:, None]  # [F, n + k]
    weights = np.where(training, share, 0)
    for side in (slice(0, n), slice(n, n + k)):  # both of one weight in what each fold is fitted to
        sums = weights[:, side].sum(axis=1, keepdims=True)
        weights[:, side] *= min(n, k) * (1 - 1 / folds) / np.where(sums > 0, sums, 1)
    x = np.clip(np.concatenate([forget, test], axis=1), -CLIP, CLIP)
    slope, intercept = fit_logistic(x, target, weights, penalty=penalty)
    decision = intercept[:, fold] + slope[:, fold] * x  # [M, n + k], by the model that did not see the example
    decision[np.abs(decision) < 1e-9] = 0  # equal losses: undecided counts half
    right = (1 + np.where(target == 1, 1, -1) * np.sign(decision)) / 2
    return np.minimum(right @ share / 2, 1.0)  # shares sum to 2 but for rounding


def _svc(retain: np.ndarray, test: np.ndarray, forget: np.ndarray, c: float, limit: int, seed: int) -> np.ndarray:
    """Share of S called member by a support vector classifier of retained v test examples, `[M]`."""
    from sklearn.svm import SVC  # a second to import, and rarely needed

    checks.positive("c", c)
    checks.at_least_one("limit", limit)
    if not min(retain.shape[1], test.shape[1], forget.shape[1]):
        raise ValueError(f"Expected examples on every side, got retain {retain.shape}, test {test.shape}, forget "
                         f"{forget.shape}.")  # fmt: skip
    size = min(retain.shape[1], test.shape[1], limit)
    members = retain[:, _shuffled(retain.shape[1], seed)[:size]]
    others = test[:, _shuffled(test.shape[1], seed + 1)[:size]]
    x, y = np.concatenate([members, others], axis=1), np.repeat([1, 0], size)
    called = [
        SVC(C=c, kernel="rbf", gamma="auto").fit(a[:, None], y).predict(b[:, None])
        for a, b in zip(x, forget, strict=True)
    ]
    return np.mean(called, axis=1)


def svc_mia(
    confidences_retain: Array,
    confidences_test: Array,
    confidences_forget: Array,
    *,
    c: float = 3.0,
    limit: int = LIMIT,
    seed: int = 0,
) -> np.ndarray:
    """Share of S that a support vector classifier on the label's confidence calls **non-member**.

    Fitted for each model (a loop: 20 ms each) to retained examples as members and test examples as non-members.

    Args:
        confidences_retain: `[M, r]`, confidences_test: `[M, k]`, confidences_forget: `[M, n]`: probabilities.
        c: inverse regularisation; the kernel is rbf, gamma "auto", as released.
        limit: fitted to min(r, k, limit) examples a side, a fixed random choice.
        seed: of that choice.

    Returns:
        `[M]` in [0, 1]; 1: nothing of S is recognised as training data.

    Raises:
        ValueError: bad shapes, NaN, no examples, or options out of range.

    Source: Fan et al., "SalUn", 2023, arXiv 2310.12508 (MIA-efficacy), and Jia et al. 2023, arXiv 2304.04934.
    """
    retain, test, forget = _scores(
        confidences_retain=confidences_retain, confidences_test=confidences_test, confidences_forget=confidences_forget
    )
    return 1 - _svc(retain, test, forget, c, limit, seed)


def entropy_mia(
    entropies_retain: Array,
    entropies_test: Array,
    entropies_forget: Array,
    *,
    c: float = 3.0,
    limit: int = LIMIT,
    seed: int = 0,
) -> np.ndarray:
    """Share of S that a support vector classifier on the outputs' entropy calls **member**: the opposite of `svc_mia`.

    Args:
        entropies_retain: `[M, r]`, entropies_test: `[M, k]`, entropies_forget: `[M, n]`, in nats.
        c, limit, seed: see `svc_mia`.

    Returns:
        `[M]` in [0, 1]; 0: nothing of S is recognised as training data.

    Raises:
        ValueError: bad shapes, NaN, no examples, or options out of range.

    Source: Golatkar et al. 2020, arXiv 2003.02960 (attack on the entropy of outputs); Chundawat et al. 2023, arXiv
    2205.08096, whose released code has this classifier beside a logistic regression.
    """
    retain, test, forget = _scores(
        entropies_retain=entropies_retain, entropies_test=entropies_test, entropies_forget=entropies_forget
    )
    return _svc(retain, test, forget, c, limit, seed)


def loss_tpr(forget_losses: Array, test_losses: Array, *, false_positive_rate: float = 0.01) -> np.ndarray:
    """True-positive rate at a low false-positive rate of the attack that calls members whatever has a low loss.

    For each model the threshold is the highest below which at most that share of the test losses lies; ties with it
    count as not called.

    Args:
        forget_losses: `[M, n]` of S.  test_losses: `[M, k]`, k at least 1 / false_positive_rate.
        false_positive_rate: in (0, 1).

    Returns:
        `[M]` in [0, 1]: share of S called a member; about the false-positive rate where S is like the test examples.

    Raises:
        ValueError: bad shapes, NaN, too few test examples for the rate.

    Source: Yeom et al. 2018, arXiv 1709.01604 (loss threshold); Carlini et al. 2022, arXiv 2112.03570 (low rates);
    Pawelczyk et al. 2025, arXiv 2406.17216, who report it at 1 %.
    """
    checks.in_range("false_positive_rate", false_positive_rate, 0, 1, open_low=True, open_high=True)
    forget, test = _scores(forget_losses=forget_losses, test_losses=test_losses)
    allowed = int(false_positive_rate * test.shape[1] + 1e-9)
    if allowed < 1:
        raise ValueError(
            f"Expected at least {1 / false_positive_rate:g} test examples for false_positive_rate={false_positive_rate}, "
            f"got {test.shape[1]}."
        )
    threshold = np.partition(test, allowed, axis=1)[:, allowed]
    return (forget < threshold[:, None]).mean(1)


def _test_parts(view: View) -> list[str]:
    """In a class-concept problem only "concept_test" has the classes of S, so it always belongs to the test side."""
    return [part for part in ("concept_test", "other_test") if part in view.logits]


def _test_losses(view: View) -> tuple[np.ndarray, np.ndarray]:
    parts = _test_parts(view)
    found = [losses(view.logits[part], view.labels[part]) for part in parts]
    return np.concatenate(found, axis=1), np.concatenate([view.labels[part] for part in parts])


def _u_mia(view: View, part: str, *, matched: bool) -> np.ndarray:
    test, labels = _test_losses(view)
    ours, test_labels = (view.labels[part], labels) if matched else (None, None)
    return u_mia(losses(view.logits[part], view.labels[part]), test, forget_labels=ours, test_labels=test_labels)


def _svc_mia(view: View, part: str) -> np.ndarray:
    retain, forget = (losses(view.logits[name], view.labels[name]) for name in ("retain", part))
    return svc_mia(*(np.exp(-each) for each in (retain, _test_losses(view)[0], forget)))


def _entropy_mia(view: View, part: str) -> np.ndarray:
    test = np.concatenate([entropies(view.logits[name]) for name in _test_parts(view)], axis=1)
    return entropy_mia(entropies(view.logits["retain"]), test, entropies(view.logits[part]))


def _loss_tpr(view: View, part: str) -> np.ndarray:
    return loss_tpr(losses(view.logits[part], view.labels[part]), _test_losses(view)[0])


_OWN = "the untraining oracle's own value"
_OTHER = "the unlearning oracle's own value"

METRICS: dict[str, Metric] = {
    "u_mia": Metric(
        u_mia, functools.partial(_u_mia, matched=False), "member", ("forget",), "untraining",
        question="How often is a loss seen to be of S rather than of a test example (accuracy of a population attack)?",
        use_when="You want to compare with papers that report the basic membership attack.",
        caution="50 % is ideal only if S and test match in class and difficulty: read the distance to the oracle.",
        better="oracle", at_untraining=_OWN, at_unlearning=_OTHER, estimand="either", members=1,
        citation="Kurmanji et al. 2023, arXiv 2302.09880", needs=("other_test",),
    ),
    "u_mia/class_matched": Metric(
        u_mia, functools.partial(_u_mia, matched=True), "member", ("forget",), "untraining",
        question="The same, with test examples weighted to have the classes of S: is it S, rather than its class?",
        use_when="S is of one class, or of a few: the unmatched attack then recognises the class.",
        caution="Classes match, difficulty need not: read the distance to the oracle, not to 50 %.",
        better="oracle", at_untraining=_OWN + ", near 0.5", at_unlearning=_OTHER, estimand="either", members=1,
        citation="Kurmanji et al. 2023, arXiv 2302.09880; class-matched here", needs=("other_test",),
    ),
    "svc_mia": Metric(
        svc_mia, _svc_mia, "member", ("forget",), "untraining",
        question="Which share of S does an attack on confidence call non-member (1: none of S looks trained on)?",
        use_when='You want to compare with papers that report "MIA-efficacy".',
        caution="Higher is not better: the target is the oracle's value. Entropy MIA has the opposite direction.",
        better="oracle", at_untraining=_OWN, at_unlearning=_OTHER, estimand="either", members=1,
        citation="Fan et al. 2023, arXiv 2310.12508", needs=("retain", "other_test"), default=False,
    ),
    "entropy_mia": Metric(
        entropy_mia, _entropy_mia, "member", ("forget",), "untraining",
        question="Which share of S does an attack on entropy call member (0: none of S looks trained on)?",
        use_when="You want to compare with papers that report an attack probability on entropies.",
        caution="Lower is not better: the target is the oracle's value. SVC MIA has the opposite direction.",
        better="oracle", at_untraining=_OWN, at_unlearning=_OTHER, estimand="either", members=1,
        citation="Golatkar et al. 2020, arXiv 2003.02960; Chundawat et al. 2023, arXiv 2205.08096",
        needs=("retain", "other_test"), default=False,
    ),
    "loss_tpr": Metric(
        loss_tpr, _loss_tpr, "member", ("forget",), "untraining",
        question="Which share of S has a loss lower than all but 1 % of the test examples have?",
        use_when="You want to compare with papers that report a loss attack at a false-positive rate of 1 %.",
        caution="A low value clears nobody: an attack on losses is blind to poison and to most of what is memorized.",
        better="oracle", at_untraining=_OWN, at_unlearning=_OTHER, estimand="either", members=1,
        citation="Yeom et al. 2018, arXiv 1709.01604; Pawelczyk et al. 2025, arXiv 2406.17216", needs=("other_test",),
        default=False,
    ),
}  # fmt: skip
