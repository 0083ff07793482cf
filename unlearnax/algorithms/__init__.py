"""Unlearning algorithms: each a factory ``(model, **hyperparameters) -> UnlearnFn``.

Each family's file ends in its entries of the one dict, `ALGORITHMS`.  Beside them stand the pieces that they are made of,
for algorithms of your own: `batch`, `begin`, `check_optimisation`, `cross_entropy`, `divergence`, `end`, `minimise`,
`optimise`, `sgd` and `training_loss`.
"""

from unlearnax.algorithms import adaptive as _adaptive
from unlearnax.algorithms import amnesiac as _amnesiac
from unlearnax.algorithms import ascent as _ascent
from unlearnax.algorithms import ascent_descent as _ascent_descent
from unlearnax.algorithms import boundary as _boundary
from unlearnax.algorithms import certified_removal as _certified_removal
from unlearnax.algorithms import dampening as _dampening
from unlearnax.algorithms import descent_to_delete as _descent_to_delete
from unlearnax.algorithms import difference as _difference
from unlearnax.algorithms import distill as _distill
from unlearnax.algorithms import duck as _duck
from unlearnax.algorithms import finetune as _finetune
from unlearnax.algorithms import fisher as _fisher
from unlearnax.algorithms import identity as _identity
from unlearnax.algorithms import influence as _influence
from unlearnax.algorithms import langevin as _langevin
from unlearnax.algorithms import last_layers as _last_layers
from unlearnax.algorithms import lipschitz as _lipschitz
from unlearnax.algorithms import neurips2023_fanchuan as _neurips2023_fanchuan
from unlearnax.algorithms import neurips2023_gradients as _neurips2023_gradients
from unlearnax.algorithms import neurips2023_kernels as _neurips2023_kernels
from unlearnax.algorithms import neurips2023_noise as _neurips2023_noise
from unlearnax.algorithms import neurips2023_pruning as _neurips2023_pruning
from unlearnax.algorithms import neurips2023_reset as _neurips2023_reset
from unlearnax.algorithms import preference as _preference
from unlearnax.algorithms import redirect as _redirect
from unlearnax.algorithms import relabel as _relabel
from unlearnax.algorithms import rewind as _rewind
from unlearnax.algorithms import rmu as _rmu
from unlearnax.algorithms import sisa as _sisa
from unlearnax.algorithms import task_vector as _task_vector
from unlearnax.algorithms import tied_dropout as _tied_dropout
from unlearnax.algorithms import undial as _undial
from unlearnax.algorithms import undo as _undo
from unlearnax.algorithms import unsir as _unsir
from unlearnax.algorithms._common import (
    batch,
    begin,
    check_optimisation,
    cross_entropy,
    divergence,
    end,
    minimise,
    optimise,
    sgd,
    training_loss,
)
from unlearnax.algorithms.adaptive import assd, potion
from unlearnax.algorithms.amnesiac import amnesiac
from unlearnax.algorithms.ascent import gradient_ascent, neg_grad_plus, npo
from unlearnax.algorithms.ascent_descent import ascent_descent
from unlearnax.algorithms.boundary import boundary_shrink
from unlearnax.algorithms.certified_removal import certified_removal
from unlearnax.algorithms.dampening import lfssd, ssd
from unlearnax.algorithms.descent_to_delete import descent_to_delete
from unlearnax.algorithms.difference import ascent_kl, grad_diff
from unlearnax.algorithms.distill import bad_teacher, scrub
from unlearnax.algorithms.duck import duck
from unlearnax.algorithms.finetune import do_nothing, fine_tune, gaussian_noise, l1_sparse
from unlearnax.algorithms.fisher import fisher_forgetting, ntk_forgetting
from unlearnax.algorithms.identity import dp_sgd
from unlearnax.algorithms.influence import influence, newton
from unlearnax.algorithms.langevin import langevin
from unlearnax.algorithms.last_layers import cf_k, eu_k
from unlearnax.algorithms.lipschitz import lipschitz
from unlearnax.algorithms.neurips2023_fanchuan import fanchuan
from unlearnax.algorithms.neurips2023_gradients import magnitude_gradient
from unlearnax.algorithms.neurips2023_kernels import class_weighted_noise, transpose_kernels
from unlearnax.algorithms.neurips2023_noise import random_noise_injection
from unlearnax.algorithms.neurips2023_pruning import prune_match
from unlearnax.algorithms.neurips2023_reset import decoupled_reset
from unlearnax.algorithms.preference import dpo, sim_npo
from unlearnax.algorithms.redirect import rem
from unlearnax.algorithms.relabel import random_label, salun
from unlearnax.algorithms.rewind import scrub_rewind
from unlearnax.algorithms.rmu import rmu
from unlearnax.algorithms.sisa import sisa
from unlearnax.algorithms.task_vector import task_vector
from unlearnax.algorithms.tied_dropout import etd
from unlearnax.algorithms.undial import undial
from unlearnax.algorithms.undo import undo
from unlearnax.algorithms.unsir import unsir
from unlearnax.types import Algorithm

ALGORITHMS: dict[str, Algorithm] = (
    _finetune.ALGORITHMS
    | _last_layers.ALGORITHMS
    | _ascent.ALGORITHMS
    | _ascent_descent.ALGORITHMS
    | _difference.ALGORITHMS
    | _preference.ALGORITHMS
    | _undial.ALGORITHMS
    | _relabel.ALGORITHMS
    | _distill.ALGORITHMS
    | _rewind.ALGORITHMS
    | _undo.ALGORITHMS
    | _boundary.ALGORITHMS
    | _unsir.ALGORITHMS
    | _dampening.ALGORITHMS
    | _adaptive.ALGORITHMS
    | _fisher.ALGORITHMS
    | _influence.ALGORITHMS
    | _rmu.ALGORITHMS
    | _duck.ALGORITHMS
    | _redirect.ALGORITHMS
    | _lipschitz.ALGORITHMS
    | _task_vector.ALGORITHMS
    | _neurips2023_fanchuan.ALGORITHMS
    | _neurips2023_reset.ALGORITHMS
    | _neurips2023_gradients.ALGORITHMS
    | _neurips2023_pruning.ALGORITHMS
    | _neurips2023_kernels.ALGORITHMS
    | _neurips2023_noise.ALGORITHMS
    | _identity.ALGORITHMS
    | _amnesiac.ALGORITHMS
    | _sisa.ALGORITHMS
    | _descent_to_delete.ALGORITHMS
    | _langevin.ALGORITHMS
    | _certified_removal.ALGORITHMS
    | _tied_dropout.ALGORITHMS
)

__all__ = [
    "ALGORITHMS",
    "amnesiac",
    "ascent_descent",
    "ascent_kl",
    "assd",
    "bad_teacher",
    "batch",
    "begin",
    "boundary_shrink",
    "certified_removal",
    "cf_k",
    "check_optimisation",
    "class_weighted_noise",
    "cross_entropy",
    "decoupled_reset",
    "descent_to_delete",
    "divergence",
    "do_nothing",
    "dp_sgd",
    "dpo",
    "duck",
    "end",
    "etd",
    "eu_k",
    "fanchuan",
    "fine_tune",
    "fisher_forgetting",
    "gaussian_noise",
    "grad_diff",
    "gradient_ascent",
    "influence",
    "l1_sparse",
    "langevin",
    "lfssd",
    "lipschitz",
    "magnitude_gradient",
    "minimise",
    "neg_grad_plus",
    "newton",
    "npo",
    "ntk_forgetting",
    "optimise",
    "potion",
    "prune_match",
    "random_label",
    "random_noise_injection",
    "rem",
    "rmu",
    "salun",
    "scrub",
    "scrub_rewind",
    "sgd",
    "sim_npo",
    "sisa",
    "ssd",
    "task_vector",
    "training_loss",
    "transpose_kernels",
    "undial",
    "undo",
    "unsir",
]
