"""Oracles: what data each counterfactual world holds.  How many seeds are trained on it is the engine's business."""

from unlearnax.oracles.concept_free import concept_free
from unlearnax.oracles.concept_free import excludes as concept_free_excludes
from unlearnax.oracles.corrected import corrected
from unlearnax.oracles.corrected import excludes as corrected_excludes
from unlearnax.oracles.retrain import excludes as retrain_excludes
from unlearnax.oracles.retrain import retrain
from unlearnax.types import Oracle

ORACLES: dict[str, Oracle] = {
    "retrain": Oracle(retrain, retrain_excludes, goal="untraining"),
    "concept_free": Oracle(concept_free, concept_free_excludes, goal="unlearning"),
    "corrected": Oracle(
        corrected, corrected_excludes, goal="correction", applies=lambda problem: problem.repaired is not None
    ),
}
