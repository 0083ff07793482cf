"""Population attacks against scikit-learn, one model at a time, and where the answer is known."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from unlearnax.metrics import membership
from unlearnax.metrics.membership import (
    METRICS,
    entropies,
    entropy_mia,
    fit_logistic,
    loss_tpr,
    losses,
    svc_mia,
    u_mia,
)
from unlearnax.types import View

LIMIT = hypothesis.settings(max_examples=20, deadline=None)


def slow_u_mia(forget, test, fold, weights, size):
    """One model: scikit-learn's regression for each fold, each side with weight 0.9 · size; balanced accuracy."""
    x, y = np.concatenate([forget, test]), np.repeat([1, 0], [len(forget), len(test)])
    right = np.zeros(len(x))
    for each in np.unique(fold):
        train, out = fold != each, fold == each
        w = weights.copy()
        for side in (0, 1):
            w[train & (y == side)] *= size * (1 - 1 / (fold.max() + 1)) / w[train & (y == side)].sum()
        model = LogisticRegression(tol=1e-10, max_iter=1000)
        model.fit(x[train, None], y[train], sample_weight=w[train])
        right[out] = model.predict(x[out, None]) == y[out]
    sides = [(right[y == side] * weights[y == side]).sum() / weights[y == side].sum() for side in (0, 1)]
    return sum(sides) / 2


def folds_as_published(labels, count, seed):
    """Dealt round after round over a shuffled list, class after class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    fold, turn = np.zeros(len(labels), int), 0
    for label in sorted(set(labels.tolist())):
        for i in order:
            if labels[i] == label:
                fold[i] = turn % count
                turn += 1
    return fold


@pytest.mark.parametrize("sizes", [(14, 40), (60, 33)])
def test_u_mia_equals_scikit_learn(sizes):
    rng = np.random.default_rng(sum(sizes))
    forget = rng.exponential([[0.2], [1.0], [30.0]], size=(3, sizes[0]))
    test = rng.exponential(1.0, size=(3, sizes[1]))
    fold = np.concatenate(
        [folds_as_published(np.zeros(n, int), 10, seed) for n, seed in zip(sizes, (2, 3), strict=True)]
    )
    order = [np.random.default_rng(0).permutation(sizes[0]), np.random.default_rng(1).permutation(sizes[1])]
    expected = [
        slow_u_mia(f[order[0]], t[order[1]], fold, np.ones(sum(sizes)), min(sizes))
        for f, t in zip(forget, test, strict=True)
    ]
    np.testing.assert_allclose(u_mia(forget, test), expected, rtol=1e-12)
    assert 0.3 < min(expected) < max(expected) < 1


def test_class_matched_u_mia_equals_scikit_learn():
    rng = np.random.default_rng(1)
    y_forget, y_test = np.repeat([0, 2], [20, 10]), rng.integers(0, 4, 80)
    forget, test = rng.exponential(0.5, size=(3, 30)), rng.exponential(1 + y_test, size=(3, 80))
    found = u_mia(forget, test, forget_labels=y_forget, test_labels=y_test)
    kept = np.isin(y_test, [0, 2])
    # The order in which examples are taken: S shuffled, test examples of both classes in turn.
    first = np.random.default_rng(0).permutation(30)
    shuffled = np.random.default_rng(1).permutation(kept.sum())
    queues = {c: [i for i in shuffled if y_test[kept][i] == c] for c in (0, 2)}
    second = [queues[c][turn] for turn in range(kept.sum()) for c in (0, 2) if turn < len(queues[c])]
    labels = y_test[kept][second]
    weights = np.array([{0: 20, 2: 10}[c] / (labels == c).sum() for c in labels])
    fold = np.concatenate([folds_as_published(y_forget[first], 10, 2), folds_as_published(labels, 10, 3)])
    expected = [
        slow_u_mia(f[first], t[kept][second], fold, np.concatenate([np.ones(30), weights]), min(30, kept.sum()))
        for f, t in zip(forget, test, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 90.0])
def test_fits_equal_scikit_learn_at_every_scale(scale):
    rng = np.random.default_rng(2)
    x, y = rng.exponential(scale, size=(40, 50)), np.repeat([1, 0], [20, 30])
    x[::2, :20] *= 0.01  # every other model is separable, or nearly so
    weights = rng.uniform(0, 2, (3, 50))
    slope, intercept = fit_logistic(x, y, weights, penalty=1.0)
    for m in (0, 1, 2, 3, 39):
        for f in range(3):
            model = LogisticRegression(tol=1e-12, max_iter=10000, solver="newton-cholesky")
            model.fit(x[m, :, None] - x[m].mean(), y, sample_weight=weights[f])
            assert slope[m, f] == pytest.approx(model.coef_[0, 0], rel=1e-4, abs=1e-8)
            at_mean = intercept[m, f] + slope[m, f] * x[m].mean()
            assert at_mean == pytest.approx(model.intercept_[0], rel=1e-4, abs=1e-5)


def test_planted_losses_give_the_closed_form():
    """Unit normals d apart: a threshold half-way is right with probability Φ(d/2)."""
    rng = np.random.default_rng(3)
    forget, test = rng.normal(10, 1, size=(40, 300)), rng.normal(12, 1, size=(40, 400))
    assert u_mia(forget, test).mean() == pytest.approx(scipy.stats.norm.cdf(1), abs=0.01)
    assert u_mia(test, forget).mean() == pytest.approx(scipy.stats.norm.cdf(1), abs=0.01)


def test_equal_losses_give_50_percent():
    rng = np.random.default_rng(4)
    found = u_mia(rng.exponential(size=(200, 100)), rng.exponential(size=(200, 300)))
    # Cross-validation is a little below 50 % at equality: what is left out of a fit shifts it the other way.
    assert 0.47 < found.mean() < 0.5 + 3.5 * found.std(ddof=1) / math.sqrt(200)


def test_class_matching_removes_what_is_class_alone():
    """S is of the hard class: its losses are those of test examples of the class, and unlike the others'."""
    rng = np.random.default_rng(5)
    y_test = np.repeat([0, 1, 2], 100)
    test = np.where(y_test == 1, 3.0, 0.2) * rng.exponential(size=(50, 300))
    forget, y_forget = rng.exponential(3.0, size=(50, 100)), np.ones(100, int)
    assert u_mia(forget, test).mean() > 0.65
    matched = u_mia(forget, test, forget_labels=y_forget, test_labels=y_test)
    assert 0.46 < matched.mean() < 0.52
    # And keeps what is not: here S is memorised.
    assert u_mia(forget / 20, test, forget_labels=y_forget, test_labels=y_test).mean() > 0.85


def test_class_matching_needs_every_class():
    forget, test = np.ones((2, 20)), np.ones((2, 30))
    with pytest.raises(ValueError, match="hold every class of S, has no example of 1, 7"):
        u_mia(forget, test, forget_labels=np.repeat([0, 1, 7], [5, 5, 10]), test_labels=np.zeros(30, int))
    with pytest.raises(ValueError, match="both forget_labels and test_labels"):
        u_mia(forget, test, forget_labels=np.zeros(20, int))
    with pytest.raises(ValueError, match="a label for each of 20 and 30"):
        u_mia(forget, test, forget_labels=np.zeros(30, int), test_labels=np.zeros(30, int))


def test_a_rare_class_survives_the_limit_on_examples():
    rng = np.random.default_rng(6)
    y_forget, y_test = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [3000, 6])
    forget, test = rng.exponential(size=(3, 40)), rng.exponential(size=(3, 3006))
    found = u_mia(forget, test, forget_labels=y_forget, test_labels=y_test, limit=50)
    assert ((found > 0.2) & (found < 0.8)).all()


@LIMIT
@hypothesis.given(
    arrays(np.float64, (5, 12), elements=st.floats(0, 120)),
    arrays(np.float64, (5, 17), elements=st.floats(0, 120)),
    st.randoms(use_true_random=False),
)
def test_u_mia_properties(forget, test, random):
    found = u_mia(forget, test)
    assert found.shape == (5,)
    assert ((found >= 0) & (found <= 1)).all()
    members = random.sample(range(5), 5)
    np.testing.assert_allclose(u_mia(forget[members], test[members]), found[members], atol=1e-12)
    np.testing.assert_allclose(u_mia(forget[:1], test[:1]), found[:1], atol=1e-12)  # a model's number is its own
    one_class = u_mia(forget, test, forget_labels=np.zeros(12, int), test_labels=np.zeros(17, int))
    np.testing.assert_allclose(one_class, found, atol=1e-12)


def test_u_mia_of_constant_separate_and_infinite_losses():
    low, high = np.zeros((2, 20)), np.full((2, 33), 8.0)
    np.testing.assert_allclose(u_mia(low, low[:, :13]), 0.5)
    np.testing.assert_allclose(u_mia(high, high[:, :13]), 0.5)
    np.testing.assert_allclose(u_mia(low, high), 1)
    np.testing.assert_allclose(u_mia(high, low), 1)
    np.testing.assert_allclose(u_mia(np.full((2, 20), np.inf), high), 1)
    np.testing.assert_allclose(u_mia(np.full((2, 20), np.inf), np.full((2, 20), 100.0)), 0.5)


def test_u_mia_names_bad_input():
    good = np.ones((2, 20))
    with pytest.raises(ValueError, match=r"Expected folds=10 in \[2, 9\], at most the 9 examples of S and 20 of test"):
        u_mia(good[:, :9], good)
    with pytest.raises(ValueError, match="Expected test_losses without NaN, has 40 of 40"):
        u_mia(good, np.full((2, 20), np.nan))
    with pytest.raises(ValueError, match=r"of the same models, got forget_losses \(2, 20\), test_losses \(1, 20\)"):
        u_mia(good, good[:1])
    with pytest.raises(ValueError, match="Expected penalty=0 in"):
        u_mia(good, good, penalty=0)


def slow_svc(retain, test, forget, size):
    take = [np.random.default_rng(seed).permutation(each.shape[1])[:size] for seed, each in enumerate((retain, test))]
    shares = []
    for r, t, f in zip(retain, test, forget, strict=True):
        x, y = np.concatenate([r[take[0]], t[take[1]]]), np.repeat(["in", "out"], size)
        called = SVC(C=3, kernel="rbf", gamma="auto").fit(x.reshape(-1, 1), y).predict(f.reshape(-1, 1))
        shares.append(np.mean(called == "in"))
    return np.array(shares)


def test_svc_attacks_equal_the_slow_reference_and_have_opposite_directions():
    rng = np.random.default_rng(7)
    retain, test, forget = rng.beta(5, 1, (3, 60)), rng.beta(2, 1, (3, 45)), rng.beta(3, 1, (3, 20))
    member = slow_svc(retain, test, forget, 45)
    assert 0.1 < member.min() < member.max() < 1
    np.testing.assert_allclose(entropy_mia(retain, test, forget), member)
    np.testing.assert_allclose(svc_mia(retain, test, forget), 1 - member)
    np.testing.assert_allclose(svc_mia(retain, test, forget, limit=30), 1 - slow_svc(retain, test, forget, 30))


def test_svc_attacks_where_the_answer_is_plain():
    rng = np.random.default_rng(8)
    trained, unseen = rng.uniform(0.9, 1, (2, 80)), rng.uniform(0, 0.4, (2, 80))
    np.testing.assert_array_equal(svc_mia(trained, unseen, trained[:, :30]), 0)  # nothing forgotten
    np.testing.assert_array_equal(svc_mia(trained, unseen, unseen[:, :30]), 1)
    sure, unsure = entropies(np.array([9.0, 0, 0])), entropies(np.zeros(3))

    def full(value):
        return np.full((2, 30), value)

    np.testing.assert_array_equal(entropy_mia(full(sure), full(unsure), full(sure)), 1)  # nothing forgotten
    np.testing.assert_array_equal(entropy_mia(full(sure), full(unsure), full(unsure)), 0)


def test_svc_attacks_name_bad_input():
    good = np.ones((2, 20))
    with pytest.raises(ValueError, match="Expected confidences_test without NaN"):
        svc_mia(good, np.full((2, 20), np.nan), good)
    with pytest.raises(ValueError, match="Expected examples on every side"):
        svc_mia(good, good, good[:, :0])
    with pytest.raises(ValueError, match="Expected c=-1 in"):
        entropy_mia(good, good, good, c=-1)
    with pytest.raises(ValueError, match="entropies_forget"):
        entropy_mia(good, good, good[0])


@LIMIT
@hypothesis.given(arrays(np.float32, (2, 4, 3), elements=st.floats(-50, 50, width=32)))
def test_scores_equal_the_definitions(logits):
    labels = np.array([0, 2, 1, 0])
    p = scipy.special.softmax(logits.astype(np.float64), -1)
    with np.errstate(divide="ignore"):
        expected = -scipy.special.log_softmax(logits.astype(np.float64), -1)
    for m in range(2):
        for n in range(4):
            assert losses(logits, labels)[m, n] == pytest.approx(expected[m, n, labels[n]], abs=1e-12)
            terms = [-q * math.log(q) for q in p[m, n] if q > 0]
            assert entropies(logits)[m, n] == pytest.approx(sum(terms), abs=1e-12)
    assert (losses(logits, labels) >= 0).all()


def test_scores_of_extreme_logits():
    z = np.array([[0.0, -np.inf, 500.0]])
    assert losses(z, np.array([1])) == np.inf
    assert losses(z, np.array([0])) == 500
    assert entropies(z) == pytest.approx(0, abs=1e-12)
    assert entropies(np.zeros((1, 7))) == pytest.approx(math.log(7))
    with pytest.raises(ValueError, match=r"labels of shape \(2,\)"):
        losses(z, np.array([0, 1]))


@pytest.fixture
def view():
    rng = np.random.default_rng(9)
    parts = {"forget": (20, [1]), "retain": (90, [0, 2]), "concept_test": (30, [1]), "other_test": (60, [0, 2])}
    labels = {name: rng.choice(classes, n) for name, (n, classes) in parts.items()}
    logits = {name: rng.normal(size=(4, n, 3)) for name, (n, _) in parts.items()}
    return View(logits, {}, {}, labels, {}, {}, None)


def test_measures_read_the_slices_that_they_should(view):
    ours = losses(view.logits["forget"], view.labels["forget"])
    concept, other = (losses(view.logits[name], view.labels[name]) for name in ("concept_test", "other_test"))
    found = METRICS["u_mia"].measure(view, "forget")
    np.testing.assert_array_equal(found, u_mia(ours, np.concatenate([concept, other], axis=1)))
    # Only the concept's own test examples have the class of S here.
    matched = METRICS["u_mia/class_matched"].measure(view, "forget")
    np.testing.assert_array_equal(matched, u_mia(ours, concept))
    retain = losses(view.logits["retain"], view.labels["retain"])
    expected = svc_mia(np.exp(-retain), np.exp(-np.concatenate([concept, other], axis=1)), np.exp(-ours))
    np.testing.assert_array_equal(METRICS["svc_mia"].measure(view, "forget"), expected)
    assert METRICS["entropy_mia"].measure(view, "forget").shape == (4,)


def test_without_concept_test_examples_classes_cannot_be_matched(view):
    logits = {name: values for name, values in view.logits.items() if name != "concept_test"}
    less = view._replace(logits=logits)
    assert METRICS["u_mia"].measure(less, "forget").shape == (4,)
    with pytest.raises(ValueError, match="every class of S, has no example of 1"):
        METRICS["u_mia/class_matched"].measure(less, "forget")


def test_metadata_says_what_the_target_is():
    for name, metric in METRICS.items():
        assert (metric.unit, metric.better, metric.slices) == ("member", "oracle", ("forget",))
        assert metric.default == (not name.endswith("svc_mia") and name not in ("entropy_mia", "loss_tpr"))
        assert "other_test" in metric.needs
    assert membership.LIMIT == 500


def test_loss_tpr_where_the_answer_is_known():
    test = np.tile(np.arange(100.0), (3, 1))
    forget = np.array([[0.5, 0.9, 1.0, 50.0], [1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]])
    # One of 100 may lie below the threshold, so it is the second lowest; a tie with it is not called.
    np.testing.assert_allclose(loss_tpr(forget, test), [0.5, 0.0, 1.0])
    np.testing.assert_allclose(loss_tpr(forget, test, false_positive_rate=0.6), [1.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    same = rng.exponential(size=(400, 700))
    # The threshold is the fifth lowest of 400: 1 % of them lie below it, 5 of 401 of those to come.
    assert loss_tpr(same[:, :300], same[:, 300:]).mean() == pytest.approx(5 / 401, abs=0.002)
    with pytest.raises(ValueError, match="at least 100 test examples"):
        loss_tpr(forget, test[:, :99])
    with pytest.raises(ValueError, match="false_positive_rate=0"):
        loss_tpr(forget, test, false_positive_rate=0)
