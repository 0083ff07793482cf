"""Fashion-MNIST from its four IDX files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from unlearnax import checks
from unlearnax.data.validate import check_splits, held_out
from unlearnax.types import Dataset, InputSpec, Splits

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
COARSE = ("top", "bottom", "dress", "shoe", "bag")
# Tops are T-shirt, pullover, coat and shirt; shoes are sandal, sneaker and ankle boot; the other three stand alone.
TO_COARSE = np.array([0, 1, 0, 2, 0, 3, 0, 3, 4, 3], np.int32)
VALIDATION = 5000  # of the 60,000; of a smaller file, the same share


def _inflate(path: Path) -> tuple[bytes, str]:
    """The bytes of a gzip file as far as they can be read, and what stopped the reading ("" at a proper end)."""
    parts = []
    try:
        with gzip.open(path) as file:
            while part := file.read(1 << 20):
                parts.append(part)
    except (EOFError, OSError, zlib.error) as error:
        return b"".join(parts), str(error)
    return b"".join(parts), ""


def read_idx(path: Path, rank: int) -> np.ndarray:
    """An array of bytes with `rank` axes from a gzipped IDX file.

    Raises:
        ValueError: a damaged or truncated file, named with what was expected and found.

    Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", 1998, section "file formats".
    """
    raw, damage = _inflate(path)
    header, magic = 4 + 4 * rank, bytes((0, 0, 8, rank))  # 8: unsigned bytes
    if len(raw) < header:
        reason = f": {damage}" if damage else ""
        raise ValueError(f"Expected {path} to hold an IDX header of {header} bytes, found {len(raw)} bytes{reason}.")
    if raw[:4] != magic:
        raise ValueError(f"Expected {path} to start with the bytes {magic.hex()}, found {raw[:4].hex()}.")
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], ">u4"))
    expected = header + math.prod(shape)
    if len(raw) != expected or damage:
        reason = f" and damage: {damage}" if damage else ""
        raise ValueError(f"Expected {path} to hold {expected} bytes for shape {shape}, found {len(raw)} bytes{reason}.")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def find_folder(folder: str | Path | None = None) -> Path:
    """The folder that holds the files: the argument, ``$UNLEARNAX_DATA`` (itself or its fashion-mnist), Debian's.

    Raises:
        FileNotFoundError: no such files; says how to get them.
    """
    if folder is not None:
        places = [Path(folder)]
    else:
        base = os.environ.get("UNLEARNAX_DATA")
        places = [Path(base), Path(base) / "fashion-mnist"] if base else []
        places.append(DEBIAN_FOLDER)
    for place in places:
        if all((place / name).is_file() for name in FILES):
            return place
    looked = ", ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"Expected the Fashion-MNIST files {', '.join(FILES)} in one of: {looked}. Install Debian's package "
        "dataset-fashion-mnist, or put the files in a folder and name it by the argument `folder` or the environment "
        "variable UNLEARNAX_DATA."
    )


def _read_pair(place: Path, images: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, 28, 28]` uint8 and labels `[N]` int32."""
    x, y = read_idx(place / images, 3), read_idx(place / labels, 1).astype(np.int32)
    if x.shape != (len(y), 28, 28) or not len(y):
        raise ValueError(
            f"Expected {place / images} of shape {x.shape} to hold one image of 28 × 28 for each of the {len(y)} labels "
            f"in {place / labels}."
        )
    if y.max() >= len(CLASSES):
        raise ValueError(f"Expected {place / labels} to hold labels in [0, {len(CLASSES)}), found {y.max()}.")
    return x, y


def fashion_mnist(folder: str | Path | None = None, *, labels: str = "fine", train_size: int | None = None) -> Splits:
    """Clothing images, uint8 `[N, 28, 28, 1]`; the concept of an example is its fine class.

    Args:
        folder: see `find_folder`.
        labels: "fine" (ten classes) or "coarse" (top, bottom, dress, shoe, bag: a fine class is then a subclass).
        train_size: a fixed, stratified subset of that many training images, the smaller inside the larger; default all
            55,000.

    A fixed, stratified 5,000 of the 60,000 (seed 0) is the validation split; the test split is the 10,000.

    Raises:
        FileNotFoundError: missing files.
        ValueError: damaged files, an unknown labelling, a size out of range.

    Source: Xiao, Rasul & Vollgraf, 2017, arXiv 1708.07747.
    """
    checks.one_of("labels", labels, ("fine", "coarse"))
    if train_size is not None:
        checks.at_least_one("train_size", train_size)
    place = find_folder(folder)
    images, fine = _read_pair(place, *FILES[:2])
    test_images, test_fine = _read_pair(place, *FILES[2:])
    train, validation = held_out(fine, VALIDATION, 60_000, train_size)

    def dataset(x: np.ndarray, concept: np.ndarray) -> Dataset:
        return Dataset(x[..., None], TO_COARSE[concept] if labels == "coarse" else concept, concept)

    classes = CLASSES if labels == "fine" else COARSE
    return check_splits(
        Splits(
            "fashion_mnist" if labels == "fine" else "fashion_mnist_coarse",
            dataset(images[train], fine[train]),
            dataset(images[validation], fine[validation]),
            dataset(test_images, test_fine),
            len(classes),
            classes,
            CLASSES,
            # Mean and deviation of all 60,000 images as commonly published, in bytes: constants, whatever rows are kept.
            InputSpec((28, 28, 1), 0.2860 * 255, 0.3530 * 255),
        )
    )
