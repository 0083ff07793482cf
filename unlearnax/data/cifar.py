"""CIFAR-10 and CIFAR-100 from their binary files, the archive of these, or Parquet files.  Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import gzip
import math
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np

from unlearnax import checks
from unlearnax.data.parquet import read_parquet, shards
from unlearnax.data.validate import check_splits, held_out
from unlearnax.types import Dataset, InputSpec, Splits

SHAPE = (32, 32, 3)
VALIDATION = 5000  # of the 50,000; of fewer, the same share
CLASSES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
COARSE = tuple(SUPERCLASSES)
CLASSES_100 = tuple(sorted(name for group in SUPERCLASSES.values() for name in group))  # numbered by the alphabet
TO_COARSE = np.array([[name in group for group in SUPERCLASSES.values()].index(True) for name in CLASSES_100], np.int32)


def _pooled(means: tuple[float, ...], deviations: tuple[float, ...]) -> InputSpec:
    """One mean and deviation of all pixels, in bytes, from those of each channel in [0, 1]; channels are equally many.

    μ = mean of μ_c,  σ² = mean of (σ_c² + μ_c²) − μ².
    """
    mean = math.fsum(means) / len(means)
    square = math.fsum(s**2 + m**2 for m, s in zip(means, deviations, strict=True)) / len(means)
    return InputSpec(SHAPE, 255 * mean, 255 * math.sqrt(square - mean**2))


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one of the two datasets is published.

    title: as people write it.  folder, archive: of the binary version.  train, test: its files, with the number of records
    in each as published: files are held to these proportions, not to the numbers.
    labels: Parquet columns, one for each label byte of a record; the last is the class.  classes: their names.
    places: more subfolders to look in.  pickled: what the Python version is known by.
    inputs: constants of all training images as published, whatever rows are kept; a model takes one pair, not one for
    each channel.
    """

    title: str
    folder: str
    archive: str
    train: dict[str, int]
    test: dict[str, int]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    places: tuple[str, ...]
    pickled: tuple[str, ...]
    inputs: InputSpec

    @property
    def files(self) -> dict[str, int]:
        """All files of the binary version, with their numbers of records."""
        return self.train | self.test


CIFAR10 = Layout(
    title="CIFAR-10",
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    train={f"data_batch_{number}.bin": 10_000 for number in range(1, 6)},
    test={"test_batch.bin": 10_000},
    labels=("label",),
    classes=CLASSES_10,
    places=("cifar10", "plain_text"),
    pickled=("cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1"),
    # The channels' constants in the released code of Jordan, 2024, arXiv 2404.00498.
    inputs=_pooled((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
)
CIFAR100 = Layout(
    title="CIFAR-100",
    folder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    train={"train.bin": 50_000},
    test={"test.bin": 10_000},
    labels=("coarse_label", "fine_label"),
    classes=CLASSES_100,
    places=("cifar100",),
    pickled=("cifar-100-python", "cifar-100-python.tar.gz", "meta"),
    # The channels' constants in the released code of Khosla et al., 2020, arXiv 2004.11362.
    inputs=_pooled((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
)

Part = tuple[np.ndarray, np.ndarray]  # images [N, 32, 32, 3] uint8, fine labels [N] int32


def find_source(layout: Layout, folder: str | Path | None = None) -> tuple[str, Path]:
    """What to read, and as what: a folder of "binary" files, the "archive" of them, or a folder of "parquet" files.

    Looks in the folder given, else in ``$UNLEARNAX_DATA``: in its subfolders by their usual names, then in itself.

    Raises:
        FileNotFoundError: none of these, or a folder with only some of the binary files; says what is expected.
        ValueError: only the Python version, which holds pickled objects.
    """
    base = os.environ.get("UNLEARNAX_DATA") if folder is None else folder
    places = [] if not base else [Path(base) / name for name in (layout.folder, *layout.places, "")]
    for place in places:
        missing = [name for name in layout.files if not (place / name).is_file()]
        if not missing:
            return "binary", place
        if len(missing) < len(layout.files):
            raise FileNotFoundError(f"Expected {place / missing[0]} beside the other files: there is none.")
        if (place / layout.archive).is_file():
            return "archive", place / layout.archive
        if shards(place, "train") or shards(place, "test"):
            return "parquet", place
    expected = (
        f"the binary version ({layout.archive} as it is, or its files {', '.join(layout.files)}), or Parquet files "
        "train-*.parquet and test-*.parquet"
    )
    for path in (place / name for place in places for name in layout.pickled):
        if path.exists():
            raise ValueError(
                f"Expected {expected}; {path} is of the Python version of {layout.title}, which is pickled: to read a "
                "pickle is to run whatever code it holds, so it is refused."
            )
    looked = f"in one of: {', '.join(map(str, places))}" if places else "in a folder, and none is named"
    raise FileNotFoundError(
        f"Expected {layout.title} {looked}. Put {expected} in a folder, and name it by the argument `folder` or the "
        "environment variable UNLEARNAX_DATA."
    )


def _read_archive(path: Path, layout: Layout) -> dict[str, bytes]:
    """The bytes of the binary files in a .tar.gz, read in one pass to its checksum; nothing is extracted."""
    wanted = {f"{layout.folder}/{name}": name for name in layout.files}
    found = {}
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() and member.name in wanted else None
                    if content is not None:
                        found[wanted[member.name]] = content.read()
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"Expected {path} to be a whole .tar.gz archive: {error}.") from error
    missing = [member for member, name in wanted.items() if name not in found]
    if missing:
        raise ValueError(f"Expected {path} to hold {', '.join(wanted)}; missing: {', '.join(missing)}.")
    return found


def _check_labels(where: Path, layout: Layout, fine: np.ndarray, coarse: np.ndarray | None) -> np.ndarray:
    """Fine labels `[N]` as int32 once they, and the coarse ones if there are any, are what they can be."""
    for labels, limit in ((fine, len(layout.classes)), (coarse, len(COARSE))):
        wrong = np.array([]) if labels is None else labels[(labels < 0) | (labels >= limit)]
        if len(wrong):
            raise ValueError(f"Expected {where} to hold labels in [0, {limit}), found {wrong[0]}.")
    if coarse is not None:
        wrong = np.flatnonzero(TO_COARSE[fine] != coarse)
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"Expected {where} to give the class {CLASSES_100[fine[row]]} the coarse label {TO_COARSE[fine[row]]}, "
                f"found {coarse[row]} at row {row}."
            )
    return fine.astype(np.int32)


def _records(where: Path, raw: bytes, layout: Layout) -> Part:
    """Images and fine labels of one binary file: label bytes, then 32 × 32 red, green and blue values, by rows."""
    width = len(layout.labels)
    length = width + math.prod(SHAPE)
    if len(raw) % length or not raw:
        raise ValueError(f"Expected {where} to hold records of {length} bytes, found {len(raw)} bytes.")
    records = np.frombuffer(raw, np.uint8).reshape(-1, length)
    images = np.ascontiguousarray(records[:, width:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    coarse = records[:, 0] if width == 2 else None
    return images, _check_labels(where, layout, records[:, width - 1], coarse)


def _joined(parts: list[Part]) -> Part:
    images, fine = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(fine)


def _from_records(source: Path, raw: dict[str, bytes], layout: Layout) -> list[Part]:
    """Train and test from the bytes of the binary files, by name."""
    parts = {name: _records(source / name, raw.pop(name), layout) for name in layout.files}
    (test, published), *_ = layout.test.items()
    unit = len(parts[test][0])
    for name, count in layout.files.items():  # a file cut between two records shows here alone
        expected, found = unit * count // published, len(parts[name][0])
        if found != expected:
            raise ValueError(
                f"Expected {source / name} to hold {expected} records beside the {unit} of {test}, found {found}: one of "
                "the two is cut."
            )
    return [_joined([parts[name] for name in names]) for names in (layout.train, layout.test)]


def _from_folder(source: Path, layout: Layout) -> list[Part]:
    return _from_records(source, {name: (source / name).read_bytes() for name in layout.files}, layout)


def _from_archive(source: Path, layout: Layout) -> list[Part]:
    return _from_records(source, _read_archive(source, layout), layout)


def _from_parquet(source: Path, layout: Layout) -> list[Part]:
    made = []
    for part in ("train", "test"):
        paths = shards(source, part)
        if not paths:
            missing = source / f"{part}-*.parquet"
            raise FileNotFoundError(f"Expected {missing} beside the other Parquet files: none is there.")
        pieces = []
        for path in paths:
            images, columns = read_parquet(path, SHAPE, layout.labels[-1:], optional=layout.labels[:-1])
            fine = _check_labels(path, layout, columns[layout.labels[-1]], columns.get("coarse_label"))
            pieces.append((images, fine))
        made.append(_joined(pieces))
    return made


READERS = {"binary": _from_folder, "archive": _from_archive, "parquet": _from_parquet}


def _load(name: str, layout: Layout, folder: str | Path | None, coarse: bool, train_size: int | None) -> Splits:
    if train_size is not None:
        checks.at_least_one("train_size", train_size)
    kind, source = find_source(layout, folder)
    (images, fine), test = READERS[kind](source, layout)
    train, validation = held_out(fine, VALIDATION, 50_000, train_size)
    classes = COARSE if coarse else layout.classes

    def dataset(x: np.ndarray, concept: np.ndarray) -> Dataset:
        return Dataset(x, TO_COARSE[concept] if coarse else concept, concept)

    parts = dataset(images[train], fine[train]), dataset(images[validation], fine[validation]), dataset(*test)
    return check_splits(Splits(name, *parts, len(classes), classes, layout.classes, layout.inputs))


def cifar10(folder: str | Path | None = None, *, train_size: int | None = None) -> Splits:
    """Photographs of ten classes, uint8 `[N, 32, 32, 3]`; the concept of an example is its class.

    Args:
        folder: see `find_source`.
        train_size: a fixed, stratified subset of that many training images, the smaller inside the larger; default all
            45,000.

    A fixed, stratified 5,000 of the 50,000 (seed 0) is the validation split; the test split is the 10,000.  Rows keep the
    order of the files: Parquet files may have another one than the binary version, and then hold out other images.

    Raises:
        FileNotFoundError: a missing file.
        ImportError: Parquet files without the extra `hf`.
        ValueError: damaged files, the Python version (pickled, refused), a size out of range.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images", University of Toronto, 2009; the format as
    on the datasets' page, section "Binary version".
    """
    return _load("cifar10", CIFAR10, folder, False, train_size)


def cifar100(folder: str | Path | None = None, *, labels: str = "fine", train_size: int | None = None) -> Splits:
    """Photographs of a hundred classes, uint8 `[N, 32, 32, 3]`; the concept of an example is its fine class.

    Args:
        folder: see `find_source`.
        labels: "fine" (100 classes) or "coarse" (the 20 superclasses of five classes each: a concept is then a subclass).
        train_size: as for `cifar10`.

    The splits are as for `cifar10`, stratified by the fine class.

    Raises:
        FileNotFoundError, ImportError: as for `cifar10`.
        ValueError: also an unknown labelling, and fine and coarse labels that do not belong together.

    Source: as for `cifar10`.
    """
    checks.one_of("labels", labels, ("fine", "coarse"))
    coarse = labels == "coarse"
    return _load("cifar100_coarse" if coarse else "cifar100", CIFAR100, folder, coarse, train_size)
