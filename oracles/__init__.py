"""Oracles: what data each counterfactual world holds.  How many seeds are trained on it is the engine's business."""

from unlearnax.types import Oracle

from . import concept_free, corrected, retrain

ORACLES: dict[str, Oracle] = {
    "retrain": Oracle(retrain.retrain, retrain.excludes, goal="untraining"),
    "concept_free": Oracle(concept_free.concept_free, concept_free.excludes, goal="unlearning"),
    "corrected": Oracle(
        corrected.corrected,
        corrected.excludes,
        goal="correction",
        applies=lambda problem: problem.repaired is not None,
    ),
}
