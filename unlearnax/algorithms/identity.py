"""Nothing is done, because training was such that nothing should be needed."""

from __future__ import annotations

from unlearnax.algorithms import _common
from unlearnax.algorithms.finetune import do_nothing
from unlearnax.recipes import Recipe
from unlearnax.types import Algorithm, Model, UnlearnFn


def dp_sgd(model: Model, *, recipe: Recipe) -> UnlearnFn:
    """The original as it is, trained by DP-SGD: (ε, δ)-indistinguishable from one trained without an example, by its noise.

    Source: Abadi et al., "Deep learning with differential privacy", CCS 2016, arXiv 1607.00133; as a baseline of
    untraining in Sekhari et al., NeurIPS 2021, arXiv 2103.03279.
    """
    return do_nothing(model)


ALGORITHMS: dict[str, Algorithm] = {
    "dp_sgd": Algorithm(
        dp_sgd,
        "untraining",
        _common.NOTHING,
        "Abadi et al., CCS 2016, arXiv 1607.00133; Sekhari et al., NeurIPS 2021, arXiv 2103.03279",
        words="no single example changes the trained model by much, so that none needs to be removed",
        needs=frozenset({"rule dp_sgd"}),
    ),
}
