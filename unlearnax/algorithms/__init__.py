"""Unlearning algorithms: each a factory ``(model, **hyperparameters) -> UnlearnFn`` with its metadata."""

from unlearnax.algorithms.ascent import gradient_ascent, neg_grad_plus, npo
from unlearnax.algorithms.distill import bad_teacher, scrub
from unlearnax.algorithms.finetune import do_nothing, fine_tune, l1_sparse
from unlearnax.algorithms.fisher import ssd
from unlearnax.algorithms.relabel import random_label, salun
from unlearnax.types import Algorithm

_NOTHING, _S, _R, _BOTH = (frozenset(names.split()) for names in ("", "forget", "retain", "forget retain"))

ALGORITHMS: dict[str, Algorithm] = {
    "do_nothing": Algorithm(do_nothing, "control", _NOTHING, "the original"),
    "fine_tune": Algorithm(fine_tune, "untraining", _R, "Golatkar et al., CVPR 2020, arXiv 1911.04933"),
    "l1_sparse": Algorithm(l1_sparse, "untraining", _R, "Jia et al., NeurIPS 2023, arXiv 2304.04934"),
    "gradient_ascent": Algorithm(gradient_ascent, "ambiguous", _S, "Graves et al., AAAI 2021, arXiv 2010.10981"),
    "neg_grad_plus": Algorithm(neg_grad_plus, "ambiguous", _BOTH, "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880"),
    "npo": Algorithm(npo, "unlearning", _BOTH, "Zhang et al., COLM 2024, arXiv 2404.05868"),
    "random_label": Algorithm(random_label, "ambiguous", _BOTH, "Graves et al., AAAI 2021, arXiv 2010.10981"),
    "salun": Algorithm(salun, "ambiguous", _BOTH, "Fan et al., ICLR 2024, arXiv 2310.12508"),
    "scrub": Algorithm(scrub, "ambiguous", _BOTH, "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880"),
    "bad_teacher": Algorithm(bad_teacher, "ambiguous", _BOTH, "Chundawat et al., AAAI 2023, arXiv 2205.08096"),
    "ssd": Algorithm(ssd, "untraining", _BOTH, "Foster et al., AAAI 2024, arXiv 2308.07707"),
}

__all__ = [
    "ALGORITHMS",
    "bad_teacher",
    "do_nothing",
    "fine_tune",
    "gradient_ascent",
    "l1_sparse",
    "neg_grad_plus",
    "npo",
    "random_label",
    "salun",
    "scrub",
    "ssd",
]
