"""Which of ten algorithms untrain, which unlearn, and which do neither?  Digits, one class, three discovery rates."""

import dataclasses

from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe

FULL = Experiment(
    name="quickstart",
    dataset="digits",
    problem="concept",
    problem_args=(("concepts", 3),),
    discovery_rates=(0.1, 0.5, 1.0),
    recipe=Recipe(model="mlp", model_args=(("widths", (128,)),), epochs=30, batch_size=64),
    algorithms=(
        ("fine_tune", ()),
        ("l1_sparse", ()),
        ("gradient_ascent", ()),
        ("neg_grad_plus", ()),
        ("npo", ()),
        ("random_label", ()),
        ("salun", ()),
        ("scrub", ()),
        ("bad_teacher", ()),
        ("ssd", ()),
    ),
    members=64,
)

SIZES = {
    "full": FULL,
    "smoke": dataclasses.replace(FULL, members=8, recipe=dataclasses.replace(FULL.recipe, epochs=5)),
}
