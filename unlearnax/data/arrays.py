"""A user's own arrays, from a mapping or a .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unlearnax.data.validate import check_splits
from unlearnax.types import Dataset, InputSpec, Splits

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("concept_train", "concept_test", "x_validation", "y_validation", "concept_validation")


def _read(source: str | Path | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if isinstance(source, Mapping):
        return {name: np.asarray(value) for name, value in source.items()}
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"Expected path={str(path)!r} to be a .npz file: there is none.")
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise ValueError("it holds one bare array")
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"Expected {path} to be a whole .npz file of plain arrays: {error}.") from error


def arrays(
    path: str | Path | Mapping[str, np.ndarray],
    *,
    name: str = "arrays",
    mean: float | None = None,
    std: float | None = None,
) -> Splits:
    """Arrays of the user's own: ``x_train, y_train, x_test, y_test`` and optionally ``concept_*`` and ``*_validation``.

    Args:
        path: a .npz file (read without pickle) or a mapping.  Inputs are `[N, ...]` floating or uint8, labels `[N]`
            integers from 0, concepts `[N]` integers, -1 for none (default: the labels).
        name: for rows and folders.
        mean, std: normalisation constants; default 0 and 1, for uint8 0 and 255.  Take them from general knowledge of
            the data, not from these training rows.

    Without a validation part, a random 5 % (at least 1) of the training rows, seed 0, becomes it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything missing, misshapen, out of range or not finite.
    """
    given = _read(path)
    missing = [key for key in REQUIRED if key not in given]
    if missing:
        raise ValueError(f"Expected arrays {', '.join(REQUIRED)}; missing: {', '.join(missing)}.")
    unknown = set(given) - set(REQUIRED) - set(OPTIONAL)
    if unknown:
        raise ValueError(
            f"Expected arrays among {', '.join(REQUIRED + OPTIONAL)}; got also {', '.join(sorted(unknown))}."
        )

    def part(which: str) -> Dataset:
        x, y = given[f"x_{which}"], given[f"y_{which}"]
        concept = given.get(f"concept_{which}", y)
        for field, values in ((f"y_{which}", y), (f"concept_{which}", concept)):
            if not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"Expected {field} of type {values.dtype} to be integers.")
        x = x if x.dtype == np.uint8 or not np.issubdtype(x.dtype, np.floating) else x.astype(np.float32)
        return Dataset(x, y.astype(np.int32), concept.astype(np.int32))

    train, test = part("train"), part("test")
    if "x_validation" in given:
        if "y_validation" not in given:
            raise ValueError("Expected y_validation beside x_validation.")
        validation = part("validation")
    else:
        if len(train.x) < 2 or train.y.shape != (len(train.x),) or train.concept.shape != (len(train.x),):
            raise ValueError(f"Expected y_train of shape {train.y.shape} to have shape ({len(train.x)},), 2 at least.")
        order = np.random.default_rng(0).permutation(len(train.x))
        held, kept = np.split(order, [max(len(order) // 20, 1)])
        validation = Dataset(*(values[np.sort(held)] for values in train))
        train = Dataset(*(values[np.sort(kept)] for values in train))
    num_classes = int(max(train.y.max(initial=0), test.y.max(initial=0))) + 1
    concepts = int(max(train.concept.max(initial=0), test.concept.max(initial=0))) + 1
    default = (0.0, 255.0) if train.x.dtype == np.uint8 else (0.0, 1.0)
    spec = InputSpec(
        train.x.shape[1:], default[0] if mean is None else float(mean), default[1] if std is None else float(std)
    )
    class_names = tuple(str(label) for label in range(num_classes))
    concept_names = tuple(str(concept) for concept in range(concepts))
    return check_splits(Splits(name, train, validation, test, num_classes, class_names, concept_names, spec))
