"""Fashion-MNIST from its four IDX files."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from unlearnax import checks
from unlearnax.data.validate import check_splits, stratified
from unlearnax.types import Dataset, InputSpec, Splits

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
COARSE = ("top", "bottom", "dress", "shoe", "bag")
TO_COARSE = np.array([0, 1, 0, 2, 0, 3, 0, 3, 4, 3], np.int32)
VALIDATION = 5000


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes from a gzipped IDX file.

    Raises:
        ValueError: a damaged or truncated file, named with what was expected and found.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"Expected {path} to be a whole gzip file: {error}.") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"Expected {path} to start with an IDX header of unsigned bytes, got {raw[:4]!r}.")
    header = 4 + 4 * raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], ">u4")) if len(raw) >= header else ()
    expected = header + int(np.prod(shape))
    if len(raw) != expected:
        raise ValueError(f"Expected {path} to hold {expected} bytes for shape {shape}, found {len(raw)}.")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def find_folder(folder: str | Path | None = None) -> Path:
    """The folder that holds the files: the argument, ``$UNLEARNAX_DATA`` (itself or its fashion-mnist), Debian's.

    Raises:
        FileNotFoundError: no such files; says how to get them.
    """
    if folder is not None:
        places = [Path(folder)]
    else:
        given = [Path(os.environ["UNLEARNAX_DATA"])] if "UNLEARNAX_DATA" in os.environ else []
        places = [place for base in given for place in (base, base / "fashion-mnist")] + [DEBIAN_FOLDER]
    for place in places:
        if all((place / name).is_file() for name in FILES):
            return place
    looked = ", ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"Expected the Fashion-MNIST files {', '.join(FILES)} in {looked}. Install Debian's package "
        "dataset-fashion-mnist, or put the files in a folder and name it by the argument `folder` or the environment "
        "variable UNLEARNAX_DATA."
    )


def fashion_mnist(folder: str | None = None, *, labels: str = "fine", train_size: int | None = None) -> Splits:
    """Clothing images, uint8 `[N, 28, 28, 1]`; the concept of an example is its fine class.

    Args:
        folder: see `find_folder`.
        labels: "fine" (ten classes) or "coarse" (top, bottom, dress, shoe, bag: a fine class is then a subclass).
        train_size: a fixed, stratified subset of that many training images; default all 55,000.

    The last part of the 60,000, a fixed stratified 5,000, is the validation split; the test split is the 10,000.

    Raises:
        FileNotFoundError: missing files.  ValueError: damaged files, an unknown labelling, a size out of range.

    Source: Xiao, Rasul & Vollgraf, 2017, arXiv 1708.07747.
    """
    checks.one_of("labels", labels, ("fine", "coarse"))
    size = 60_000 - VALIDATION if train_size is None else train_size
    checks.at_least_one("train_size", size)
    place = find_folder(folder)
    images, fine, test_images, test_fine = (read_idx(place / name) for name in FILES)
    available = len(images) - max(len(images) * VALIDATION // 60_000, 1)
    if train_size is not None and train_size > available:
        raise ValueError(f"Expected train_size={train_size} to be at most {available}.")

    def dataset(x: np.ndarray, concept: np.ndarray) -> Dataset:
        concept = concept.astype(np.int32)
        return Dataset(x[..., None], TO_COARSE[concept] if labels == "coarse" else concept, concept)

    for name, x, y in ((FILES[0], images, fine), (FILES[2], test_images, test_fine)):
        if x.ndim != 3 or y.shape != x.shape[:1]:
            raise ValueError(f"Expected {name} of shape {x.shape} to hold one image for each of {y.shape} labels.")
    validation, rest = stratified(fine, (len(images) - available, available), seed=0)
    train = rest if train_size is None else rest[stratified(fine[rest], (train_size,), seed=1)[0]]
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
            InputSpec((28, 28, 1), 0.2860 * 255, 0.3530 * 255),
        )
    )
