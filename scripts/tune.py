"""Chooses hyperparameters for an experiment by random search on seeds of its own.

    python scripts/tune.py experiments/quickstart.py --seed 1000 --members 16 --trials 32

For each algorithm: the declared goal decides which oracle it is tuned towards (ambiguous ones: unlearning).  The
objective is the worst of the candidate's root distances to that oracle, over both forms and over the pooled concept,
retained and other-test slices, at one discovery rate.  Forget set and all members come from --seed, which no reported
run may use.  Prints lines for the experiment file.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import tyro

from unlearnax import devices

# Random search ranges: (low, high) log-uniform for positive numbers, ("uniform", low, high) otherwise.  Whole numbers
# are drawn from tuples of ints.
LEARNING = {"learning_rate": (1e-4, 0.2)}
ADAM = {"learning_rate": (1e-5, 3e-2)}
RANGES: dict[str, dict[str, Any]] = {
    "fine_tune": LEARNING,
    "l1_sparse": LEARNING | {"gamma": (1e-6, 1e-3)},
    "gradient_ascent": {"learning_rate": (1e-5, 0.1)},
    "neg_grad_plus": {"learning_rate": (1e-3, 0.1), "alpha": ("uniform", 0.6, 0.999)},
    "npo": {"learning_rate": (1e-3, 0.1), "beta": (0.03, 10.0), "alpha": (0.3, 10.0)},
    "random_label": ADAM,
    "salun": {"learning_rate": (1e-4, 0.1), "fraction": ("uniform", 0.05, 1.0)},
    "scrub": ADAM | {"alpha": (0.01, 2.0), "gamma": (0.1, 10.0)},
    "bad_teacher": ADAM | {"retain_fraction": ("uniform", 0.1, 1.0)},
    "ssd": {"alpha": (1.0, 1e4), "dampening": (0.1, 10.0)},
}


@dataclasses.dataclass(frozen=True)
class Args:
    """Random search for the hyperparameters of an experiment's algorithms.

    only: names of algorithms, default all.
    """

    file: tyro.conf.Positional[str]
    seed: int = 1000
    members: int = 16
    trials: int = 32
    rate: float = 0.5
    only: tuple[str, ...] = ()


def draw(rng: Any, spec: tuple) -> float:
    """One value from a range."""
    if spec[0] == "uniform":
        return float(rng.uniform(*spec[1:]))
    low, high = spec
    return float(low * (high / low) ** rng.random())


def main(args: Args) -> None:
    """Searches and prints."""
    import jax
    import numpy as np

    from unlearnax import models, plugins
    from unlearnax.evaluation import POOLED, problem_layout
    from unlearnax.experiment import build_problems, resolve_algorithm
    from unlearnax.jackknife import signed_root
    from unlearnax.metrics.energy import FORMS, energy_from_distances, pairwise, represent
    from unlearnax.populations import fit, predict
    from unlearnax.types import World
    from unlearnax.unlearning import unlearn

    sizes = plugins.load_file(args.file).SIZES
    experiment = dataclasses.replace(next(iter(sizes.values())), seed=args.seed, discovery_rates=(args.rate,))
    (problem,) = build_problems(experiment)
    model = models.build(experiment.recipe, problem.inputs, problem.num_classes)
    layout, x = problem_layout(problem)
    everything = World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))

    def population(world: World, role: str) -> Any:
        rows = len(problem.train.x)
        return fit(model, experiment.recipe, world, args.members, seed=args.seed, role=role, capacity=rows).states

    originals = population(everything, "tuning original")
    oracles = {"untraining": plugins.resolve_oracle("retrain"), "unlearning": plugins.resolve_oracle("concept_free")}
    parts = [POOLED, *layout.damage]

    def points(states: Any) -> dict:
        logits = predict(model, states, x)[:, layout.rows]
        return {form: np.asarray(represent(logits, layout.labels, form)) for form in FORMS}

    references = {goal: points(population(oracle.world(problem), f"tuning {goal}")) for goal, oracle in oracles.items()}

    def distances(p: dict, q: dict, form: str) -> dict[str, float]:
        each = [np.asarray(pairwise(a[form], b[form], layout.weights)) for a, b in ((p, p), (p, q), (q, q))]
        return dict(zip(layout.slices, energy_from_distances(*each), strict=True))

    apart = {form: distances(references["untraining"], references["unlearning"], form)[POOLED] for form in FORMS}
    flat = np.zeros((2, len(layout.rows), problem.num_classes), np.float32)
    uninformed = {form: np.asarray(represent(flat, layout.labels, form)) for form in FORMS}

    def objective(states: Any, goal: str) -> float:
        found = points(states)
        worst = []
        for form in FORMS:
            if not np.isfinite(found[form]).all():
                return float("inf")
            to_oracle = distances(found, references[goal], form)
            scale = distances(uninformed, references[goal], form) | {POOLED: apart[form]}
            worst += [signed_root(to_oracle[part] / scale[part]) for part in parts]
        return max(worst)

    print(f"# rate {args.rate}, seed {args.seed}, {args.members} members, {args.trials} trials each")
    for name, declared in ((name, dict(declared)) for name, declared in experiment.algorithms):
        if args.only and name not in args.only:
            continue
        algorithm = resolve_algorithm(name)
        goal = algorithm.goal if algorithm.goal in oracles else "unlearning"
        fixed = {key: value for key, value in declared.items() if key not in RANGES[name]}
        rng, start, tried = np.random.default_rng(args.seed), time.perf_counter(), []
        for _ in range(args.trials):
            chosen = fixed | {key: float(f"{draw(rng, spec):.3g}") for key, spec in RANGES[name].items()}
            done = unlearn(algorithm, model, originals, problem, chosen, name=name, seed=args.seed)
            tried.append((objective(done.states, goal), chosen))
        best, chosen = min(tried, key=lambda item: item[0])
        nothing = objective(originals, goal)
        pairs = ", ".join(f'("{key}", {value})' for key, value in sorted(chosen.items()))
        took = time.perf_counter() - start
        print(f'("{name}", ({pairs},)),  # {goal}: {best:.3f} (do nothing {nothing:.3f}), {took:.0f} s', flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    devices.set_up()
    main(tyro.cli(Args))
