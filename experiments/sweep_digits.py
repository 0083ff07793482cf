"""How do hyperparameters move ten algorithms between untraining and unlearning?  Digits, one class, 200 settings.

Command: unlearnax sweep experiments/sweep_digits.py
Runtime: 94 to 144 s on 2 CPU cores, 14 populations of 16 members trained (docs/sweeps.md); GPU: not measured.
"""

from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe
from unlearnax.sweeps import Sweep

RATES = (0.003, 0.01, 0.03, 0.1)

SWEEP = Sweep(
    base=Experiment(
        name="sweep-digits",
        dataset="digits",
        problem="concept",
        problem_args=(("concepts", 3),),
        discovery_rates=(0.1, 0.5),
        recipe=Recipe(model="mlp", model_args=(("widths", (128,)),), epochs=30, batch_size=64),
        metrics=("none",),
        members=16,
    ),
    seeds=(0, 1),
    algorithms=(
        ("fine_tune", {"learning_rate": RATES}),
        ("gradient_ascent", {"learning_rate": RATES}),
        ("neg_grad_plus", {"learning_rate": (0.01, 0.03), "alpha": (0.9, 0.95, 0.975, 0.99)}),
        ("npo", {"learning_rate": (0.003, 0.01), "beta": (0.1, 0.3, 1.0, 3.0)}),
        ("random_label", {"learning_rate": RATES}),
        ("salun", {"learning_rate": (0.01, 0.03), "fraction": (0.3, 0.7)}),
        ("scrub", {"learning_rate": (0.003, 0.01), "gamma": (0.1, 1.0)}),
        ("bad_teacher", {"learning_rate": (0.003, 0.01), "retain_fraction": (0.2, 0.4)}),
        ("ssd", {"alpha": (10.0, 30.0, 100.0), "dampening": (0.5, 1.0)}),
        ("l1_sparse", {"learning_rate": (0.01, 0.03), "gamma": (1e-4, 1e-3)}),
    ),
)
