"""The command line as a user meets it: separate processes, files, exit codes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import environment

from unlearnax.algorithms import ALGORITHMS
from unlearnax.store import Store

ROOT = Path(__file__).parent.parent


def command(*arguments, cache, expect=0, cwd=ROOT):
    done = subprocess.run([sys.executable, "-m", "unlearnax.cli", *map(str, arguments)], cwd=cwd, text=True, timeout=300,
                          env=environment(UNLEARNAX_CACHE=str(cache), COLUMNS="200"), capture_output=True)  # fmt: skip
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_quickstart_at_smoke_size(tmp_path):
    shown = command("run", "experiments/quickstart.py", "--size", "smoke", "--out", tmp_path / "run", "--seed", "5",
                    cache=tmp_path / "cache")  # fmt: skip
    for name in ("neg_grad_plus", "held-out retrain", "Report:"):
        assert name in shown
    page = (tmp_path / "run" / "report.html").read_text()
    for name in (
        "scrub",
        "held-out concept_free",
        "experiments/quickstart.py --size smoke",
        "Hyperparameters were chosen",
    ):
        assert name in page
    assert (tmp_path / "run" / "results.csv").stat().st_size > 10_000
    assert list((tmp_path / "run" / "figures").glob("*.pdf"))
    (tmp_path / "run" / "report.html").unlink()
    assert "Report:" in command("report", tmp_path / "run", cache=tmp_path / "cache")
    assert (tmp_path / "run" / "report.html").exists()


def test_listing_and_doctor(tmp_path):
    listed = command("list", "algorithms", cache=tmp_path)
    assert "Kurmanji" in listed
    assert all(name in listed for name in ALGORITHMS)  # whole names, however narrow the terminal
    assert "concept_free" in command("list", "oracles", cache=tmp_path)
    assert "fashion_mnist" in command("list", "datasets", cache=tmp_path)
    assert "energy" in command("list", "metrics", cache=tmp_path)
    shown = command("doctor", cache=tmp_path)
    for name in ("jax", "digits", "cache folder", "XLA_FLAGS"):
        assert name in shown


def test_verify_oracles(tmp_path):
    assert "bit-identical" in command("oracles", "verify", "retrain", cache=tmp_path)
    leaky = tmp_path / "leaky.py"
    leaky.write_text(
        "import numpy as np\nfrom unlearnax.types import Exclusion, World\n"
        "def leaky(problem):\n    return World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))\n"
        "def excludes(problem):\n    return Exclusion(problem.forget, problem.forget)\n"
    )
    assert "NO" in command("oracles", "verify", f"{leaky}:leaky", cache=tmp_path, expect=1)


def test_the_store_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    about = {"population": "a" * 32, "members": 2, "role": "retrain reference", "seed": 0}
    Store().save("b" * 32, "logits", np.zeros((2, 5, 3), np.float32), about)
    cache, pack = tmp_path / "cache", str(tmp_path / "x.pack")
    assert "aaaaaaaaaaaa" in command("oracles", "list", cache=cache)
    assert "1 of 1 entries are sound" in command("oracles", "verify", "--store", cache=cache)
    assert "1 entries" in command("oracles", "export", pack, "aaaa", cache=cache)
    assert "1 of 1 entries are new" in command("oracles", "import", pack, cache=tmp_path / "other")
    assert "--yes removes" in command("oracles", "gc", "--days", "0", cache=cache)
    assert "Removed 1 entries" in command("oracles", "gc", "--days", "0", "--yes", cache=cache)
    assert "0 entries" in command("oracles", "list", cache=cache)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "experiments/nowhere.py"], "nowhere.py"),
        (["run", "experiments/quickstart.py", "--size", "smok"], "Did you mean 'smoke'"),
        (["run", "experiments/quickstart.py", "--members", "0"], "Expected members=0"),
        (["run", "experiments/quickstart.py", "--seed", "-1"], "Expected seed=-1"),
        (
            ["run", "experiments/quickstart.py", "--dataset", "arrays"],
            "Expected dataset_args={} to suit dataset 'arrays'",
        ),
        (["run", "no[red]where/[/b].py"], "no[red]where/[/b].py"),
        (["report", "nowhere"], "holds no results"),
        (["oracles", "verify", "retrian"], "Did you mean 'retrain'"),
        (["oracles", "verify", "retrain", "--store"], "with --store"),
        (["oracles", "import", "README.md"], "README.md to be a pack"),
        (["oracles", "gc", "--days", "-1"], "Expected days=-1"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path):
    shown = command(*arguments, cache=tmp_path, expect=2)
    assert message in shown.replace("\n", " ")
    assert "Traceback" not in shown


def test_score_from_files(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)

    def population(knows, members):
        logits = 0.5 * rng.normal(size=(members, 60, 4))
        logits[:, np.arange(60), labels] += 4
        if not knows:
            logits[:, np.arange(30), labels[:30]] -= 10
        return logits.astype(np.float32)

    files = {"labels": labels, "original": population(True, 30), "untraining": population(True, 60),
             "unlearning": population(False, 60), "mine": population(False, 30)}  # fmt: skip
    for name, array in files.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "slices.npz", forget=np.arange(10), concept_rest=np.arange(10, 30), retain=np.arange(30, 60))
    arguments = ["score", "--labels", tmp_path / "labels.npy", "--slices", tmp_path / "slices.npz",
                 "--oracle", f"untraining={tmp_path}/untraining.npy", f"unlearning={tmp_path}/unlearning.npy",
                 "--original", tmp_path / "original.npy", "--out", tmp_path / "out"]  # fmt: skip
    shown = command(*arguments, "--candidate", f"mine={tmp_path}/mine.npy", cache=tmp_path)
    assert "mine" in shown
    assert "✓ unlearning" in shown
    assert (tmp_path / "out" / "report.html").exists()
    shown = command(*arguments, "--candidate", f"mine={tmp_path}/none.npy", cache=tmp_path, expect=2)
    assert "none.npy" in shown
    shown = command(*arguments, "--candidate", f"mine={tmp_path}/mine.npy", "--slices", tmp_path / "labels.npy",
                    cache=tmp_path, expect=2)  # fmt: skip
    assert "whole .npz file" in shown
    (tmp_path / "mine.npy").write_bytes((tmp_path / "mine.npy").read_bytes()[:200])
    shown = command(*arguments, "--candidate", f"mine={tmp_path}/mine.npy", cache=tmp_path, expect=2)
    assert "whole .npy file" in shown
