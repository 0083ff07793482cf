"""Recipes are values: frozen, hashable, serialisable, checked."""

import dataclasses

import numpy as np
import optax
import pytest

from unlearnax.recipes import SCHEDULES, Recipe

FULL = Recipe(
    model="mlp",
    model_args={"widths": [32, 16], "batch_norm": True},  # type: ignore[arg-type]
    optimizer="adamw",
    optimizer_args=(("weight_decay", 0.01), ("b1", 0.8)),
    learning_rate=1e-3,
    schedule="warmup_cosine_decay_schedule",
    schedule_args=(("warmup_steps", 0.1), ("decay_steps", 1.0)),
    epochs=None,
    steps=70,
    dtype="bfloat16",
)


def test_json_round_trip():
    for recipe in (Recipe(), FULL):
        again = Recipe.from_json(recipe.to_json())
        assert again == recipe
        assert hash(again) == hash(recipe)
        assert again.to_json() == recipe.to_json()


def test_equal_recipes_are_known_by_equal_text():
    for one, other in (
        (Recipe(learning_rate=1), Recipe(learning_rate=1.0)),
        (Recipe(epochs=3.0, weight_decay=0), Recipe(epochs=3, weight_decay=0.0)),  # type: ignore[arg-type]
        (Recipe(batch_size=np.int64(8)), Recipe(batch_size=8)),  # type: ignore[arg-type]
        (Recipe(model_args={"blocks": [[1, 2], [3]]}), Recipe(model_args=(("blocks", ((1, 2), (3,))),))),  # type: ignore[arg-type]
    ):
        assert one == other == Recipe.from_json(one.to_json())
        assert hash(one) == hash(other)
        assert one.to_json() == other.to_json()


def test_order_of_arguments_does_not_matter():
    swapped = dataclasses.replace(FULL, optimizer_args=(("b1", 0.8), ("weight_decay", 0.01)))
    assert swapped == FULL
    assert swapped.to_json() == FULL.to_json()


def test_schedules_are_functions_of_progress():
    total = 50
    recipe = Recipe(learning_rate=0.3)
    expected = optax.cosine_decay_schedule(0.3, total)
    found = [float(recipe.learning_rate_at(step / total)) for step in range(total)]
    np.testing.assert_allclose(found, [float(expected(step)) for step in range(total)], rtol=1e-5)
    constant = Recipe(learning_rate=0.3, schedule="constant_schedule", schedule_args=())
    assert float(constant.learning_rate_at(0.9)) == pytest.approx(0.3)
    linear = Recipe(
        learning_rate=0.4, schedule="linear_schedule", schedule_args=(("end_value", 0.0), ("transition_steps", 1.0))
    )
    assert float(linear.learning_rate_at(0.25)) == pytest.approx(0.3)
    assert float(FULL.learning_rate_at(0.1)) == pytest.approx(1e-3, rel=1e-4)
    assert float(FULL.learning_rate_at(0.05)) == pytest.approx(5e-4, rel=1e-4)
    assert {recipe.schedule, constant.schedule, linear.schedule, FULL.schedule} == set(SCHEDULES)


@pytest.mark.parametrize("rows", [64, 100, 1000])
def test_budgets(rows):
    by_epochs, by_steps = Recipe(epochs=3), Recipe(epochs=None, steps=70)
    assert by_epochs.total_steps(rows) == 3 * (rows // 64)
    assert by_epochs.num_passes(rows) == 3
    assert by_epochs.budget == "epochs=3"
    assert by_steps.total_steps(rows) == 70
    assert by_steps.num_passes(rows) == -(-70 // (rows // 64))
    assert by_steps.budget == "steps=70"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sdg"}, "Expected optimizer='sdg' .*Did you mean 'sgd'"),
        ({"schedule": "cosine"}, "Expected schedule='cosine'"),
        ({"dtype": "float16"}, "Expected dtype='float16'"),
        ({"learning_rate": 0.0}, "Expected learning_rate=0.0"),
        ({"learning_rate": float("nan")}, "Expected learning_rate=nan"),
        ({"weight_decay": -1.0}, "Expected weight_decay=-1.0"),
        ({"batch_size": 0}, "Expected batch_size=0"),
        ({"epochs": 0}, "Expected epochs=0"),
        ({"steps": 5}, "exactly one of epochs=30 and steps=5"),
        ({"epochs": None}, "exactly one of epochs=None and steps=None"),
        ({"optimizer_args": (("momentun", 0.9),)}, "momentun"),
        ({"schedule_args": (("steps", 1),)}, "Expected schedule_args="),
        ({"schedule_args": (("decay_steps", 1000),)}, r"Expected schedule_args\['decay_steps'\]=1000 in \[0, 1\]"),
        ({"schedule_args": (("decay_steps", 1.0), ("init_value", 0.9))}, "without init_value: that is learning_rate"),
        ({"learning_rate": None}, r"Expected learning_rate=None in \(0, inf\)"),
        ({"epochs": 2.5}, "Expected epochs=2.5 to be a whole number"),
    ],
)
def test_bad_fields(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)
