"""A user's own arrays, from a mapping or a .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearnax.data.validate import check_splits
from unlearnax.types import Dataset, InputSpec, Splits

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("concept_train", "concept_test", "x_validation", "y_validation", "concept_validation")


def _read(source: str | Path | Mapping[str, Any]) -> dict[str, np.ndarray]:
    if isinstance(source, Mapping):
        return {name: _array(name, value) for name, value in source.items()}
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"Expected path={str(path)!r} to be a .npz file: there is none.")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not a zip archive, or cut short")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # damage surfaces in many ways: zip, zlib, npy header, encoding, memory
        raise ValueError(f"Expected {path} to be a whole .npz file of plain arrays: {error}.") from error


def _array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"Expected {name} to be an array: {error}.") from error


def _inputs(name: str, x: np.ndarray) -> np.ndarray:
    """Inputs as uint8 or float32."""
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"Expected {name} of type {x.dtype} to be floating or uint8.")
    if x.ndim < 2:
        raise ValueError(f"Expected {name} of shape {x.shape} to have an axis of examples and axes of one example.")
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        single = x.astype(np.float32)
    if not np.isfinite(single).all():
        rows = np.flatnonzero(~np.isfinite(single).reshape(len(x), -1).all(1))
        raise ValueError(f"Expected {name} to be finite in float32; {len(rows)} rows are not, the first is {rows[0]}.")
    return single


def _whole(name: str, values: np.ndarray, length: int, low: int) -> np.ndarray:
    """Labels or concepts `[length]` as int32."""
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"Expected {name} of type {values.dtype} to be integers.")
    if values.shape != (length,):
        raise ValueError(f"Expected {name} of shape {values.shape} to have shape ({length},), as its inputs.")
    wrong = values[(values < low) | (values >= 2**31)]
    if len(wrong):  # checked here since the cast below would wrap around
        raise ValueError(f"Expected {name}={wrong[0]} in [{low}, {2**31}).")
    return values.astype(np.int32)


def _check_keys(given: Mapping[str, np.ndarray]) -> None:
    missing = [key for key in REQUIRED if key not in given]
    if missing:
        raise ValueError(f"Expected arrays {', '.join(REQUIRED)}; missing: {', '.join(missing)}.")
    unknown = sorted(set(given) - set(REQUIRED) - set(OPTIONAL))
    if unknown:
        raise ValueError(f"Expected arrays among {', '.join(REQUIRED + OPTIONAL)}; got also {', '.join(unknown)}.")
    if ("x_validation" in given) != ("y_validation" in given):
        raise ValueError("Expected x_validation and y_validation together.")
    parts = ("train", "test", "validation") if "x_validation" in given else ("train", "test")
    annotated = {key.removeprefix("concept_") for key in given if key.startswith("concept_")}
    # A part that fell back to its labels would mean other concepts by the same numbers.
    if annotated and annotated != set(parts):
        raise ValueError(
            f"Expected concepts for all of {', '.join(parts)} or none, got {', '.join(sorted(annotated))}."
        )


def arrays(
    path: str | Path | Mapping[str, Any],
    *,
    name: str = "arrays",
    mean: float | None = None,
    std: float | None = None,
    class_names: Sequence[str] | None = None,
    concept_names: Sequence[str] | None = None,
) -> Splits:
    """Arrays of the user's own: ``x_train, y_train, x_test, y_test`` and optionally ``concept_*`` and ``*_validation``.

    Args:
        path: a .npz file (read without pickle) or a mapping.  Inputs are `[N, ...]`, uint8 or floating (kept as
            float32); labels `[N]` integers from 0; concepts `[N]` integers, -1 for none (default: the labels).
        name: for rows and folders.
        mean, std: normalisation constants; default 0 and 1, for uint8 0 and 255.  Take them from general knowledge of
            the data, not from these training rows.
        class_names: one for each class; default "0" to the highest label in train and test.
        concept_names: one for each concept; default `class_names` where the concepts are the labels, else "0" and up.

    Without a validation part, a random 5 % (at least 1) of the training rows, seed 0, becomes it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything missing, misshapen, of the wrong type, out of range or not finite; a damaged file.
    """
    given = _read(path)
    _check_keys(given)

    def part(which: str) -> Dataset:
        x = _inputs(f"x_{which}", given[f"x_{which}"])
        y = _whole(f"y_{which}", given[f"y_{which}"], len(x), 0)
        annotation = given.get(f"concept_{which}")
        return Dataset(x, y, y if annotation is None else _whole(f"concept_{which}", annotation, len(x), -1))

    train, test = part("train"), part("test")
    if "x_validation" in given:
        validation = part("validation")
    else:
        if len(train.x) < 2:
            raise ValueError(f"Expected x_train of shape {train.x.shape} to hold at least 2 examples.")
        order = np.random.default_rng(0).permutation(len(train.x))
        held, kept = np.split(order, [max(len(order) // 20, 1)])
        validation = Dataset(*(values[np.sort(held)] for values in train))
        train = Dataset(*(values[np.sort(kept)] for values in train))
    if class_names is None:
        class_names = _numbered("y", given["y_train"], given["y_test"])
    if concept_names is None:
        concepts = [given[key] for key in given if key.startswith("concept_")]
        concept_names = _numbered("concept", *concepts) if concepts else class_names
    zero, one = (0.0, 255.0) if train.x.dtype == np.uint8 else (0.0, 1.0)
    spec = InputSpec(train.x.shape[1:], zero if mean is None else float(mean), one if std is None else float(std))
    return check_splits(
        Splits(name, train, validation, test, len(class_names), tuple(class_names), tuple(concept_names), spec)
    )


def _numbered(name: str, *values: np.ndarray) -> tuple[str, ...]:
    """ "0" to the highest of all values."""
    highest, rows = max(int(each.max(initial=0)) for each in values), sum(len(each) for each in values)
    if highest > rows:  # most likely an identifier, and a network as wide would be made of it
        raise ValueError(f"Expected {name}={highest} in [0, {rows}]: there are only {rows} examples.")
    return tuple(str(number) for number in range(highest + 1))
