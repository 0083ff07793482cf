"""What passes through files comes back as it was."""

import dataclasses
import json
import math

import numpy as np
import pytest
from tiny_sweep import tiny

from unlearnax.recipes import Recipe
from unlearnax.results import Row, VerdictRow
from unlearnax.sweeps import wire
from unlearnax.sweeps.plan import make_plan
from unlearnax.sweeps.work import Message


def test_tasks_come_back_as_they_were():
    recipe = Recipe(epochs=2, augment=(("crop", {"padding": 2}),), model_args={"widths": [16, 8]})
    algorithms = {"fine_tune": {"learning_rate": (0.01, 0.03), "epochs": 1}, "ssd": {}}
    batch = list(make_plan(tiny(algorithms=algorithms, recipes={"small": recipe}, seeds=(0, 1))).tasks.values())
    assert {task.kind for task in batch} == {"population", "cell", "controls"}
    back = wire.batch_from_json(wire.batch_to_json(batch))
    assert back == batch
    assert all(type(a.setting) is type(b.setting) for a, b in zip(back, batch, strict=True))
    assert list(map(hash, back)) == list(map(hash, batch))


def test_what_json_has_no_form_for_is_refused():
    (task,) = [t for t in make_plan(tiny(algorithms={"fine_tune": {}})).tasks.values() if t.kind == "cell"]
    strange = dataclasses.replace(task, setting=task.setting._replace(args=(("epochs", object()),)))
    with pytest.raises(TypeError, match="JSON has a form for"):
        wire.batch_to_json([strange])


def test_messages_come_back_as_they_were():
    rows = (
        Row("p", "c", "algorithm", "unlearning", "energy/margin", "retrain", "forget", np.float32(0.25), floor=1.0),
        Row("p", "c", "algorithm", "", "klom", "retrain", "forget", math.inf, note="says “why”\n"),
        VerdictRow("p", "c", "algorithm", "", "inconclusive", "d", 0.1, 4, None, 0, "{}"),
    )
    message = Message("done", "id", "label", rows, {"clock": {"training": 0.1}, "trained": ["a"]})
    assert wire.message_from_json(wire.message_to_json(message)) == message
    ready = Message("ready")
    assert wire.message_from_json(wire.message_to_json(ready)) == ready
    (back,) = wire.rows_from_json(wire.rows_to_json([dataclasses.replace(rows[0], value=math.nan)]))
    assert math.isnan(back.value)


def test_text_alone_says_nothing_that_runs():
    text = wire.message_to_json(Message("failed", "id", "__import__('os').system('false')"))
    assert isinstance(json.loads(text), list)
    assert wire.message_from_json(text).text == "__import__('os').system('false')"
