"""The specs of easydub; claims that find their numbers."""

import dataclasses

from experiment_smoke import check_sizes, load_experiment, smoke

easydub = load_experiment("easydub")


def test_sizes_and_claims():
    check_sizes(easydub)


def test_the_end_point_is_the_recipe():
    for experiments in easydub.SIZES.values():
        recipe, last = experiments[0].recipe, dict(experiments[0].algorithms[-1][1])
        assert recipe.schedule == "constant_schedule"
        assert {name: getattr(recipe, name) for name in last if name != "k"} == {
            n: v for n, v in last.items() if n != "k"
        }


def test_shares_have_names_and_epochs_of_their_own():
    epochs = [dict(args)["epochs"] for _, args in easydub.SMALL.algorithms]
    assert epochs == [1, 6, 30, 60]
    assert len({name for name, _ in easydub.SMALL.algorithms}) == 4


def test_claims_of_a_short_run(tmp_path):
    short = tuple((name, tuple((dict(args) | {"epochs": 1}).items())) for name, args in easydub.SMALL.algorithms)
    recipe = dataclasses.replace(easydub.SMALL.recipe, model_args=(("widths", (8,)),), epochs=2)
    # Another S: memorization would have to be estimated.
    changes = {"problem": "random_subset", "problem_args": (("size", 0.05),), "algorithms": short, "recipe": recipe}
    found, runs = smoke(easydub, easydub.SMALL, tmp_path, members=4, **changes)
    assert len(found) == len(easydub.CLAIMS)
    for part in easydub.SLICES:  # an epoch from scratch is farther off than the recipe run again
        assert easydub.klom("held-out retrain", part)(runs).value < easydub.klom(easydub.again(1.0), part)(runs).value
