import gzip
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

import unlearnax
from unlearnax import data, listing, models, problems
from unlearnax.data import cifar, cifar10, cifar100

BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)]
EACH = 20  # records in each of CIFAR-10's files


def records(images, *labels):
    """Label bytes, then the red, green and blue planes of each image `[32, 32, 3]`."""
    return b"".join(
        bytes(each) + image.transpose(2, 0, 1).tobytes() for image, *each in zip(images, *labels, strict=True)
    )


def pictures(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def content10():
    """File names to bytes, and the images behind them in order, test last; image i has label i mod 10."""
    images = pictures(6 * EACH, 0)
    parts = zip([*BATCHES, "test_batch.bin"], np.split(images, 6), strict=True)
    return {name: records(part, np.arange(EACH) % 10) for name, part in parts}, images


@pytest.fixture(scope="module")
def content100():
    """Two training images of each fine class and 40 test images."""
    images, fine = pictures(240, 1), np.r_[np.arange(200) % 100, np.arange(40)]
    coarse = cifar.TO_COARSE[fine]
    return {
        "train.bin": records(images[:200], coarse[:200], fine[:200]),
        "test.bin": records(images[200:], coarse[200:], fine[200:]),
    }, images


def written(place, content):
    place.mkdir()
    for name, raw in content.items():
        (place / name).write_bytes(raw)
    return place


def archived(path, folder, content):
    """A .tar.gz as published: a folder, other files, members in any order."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        top = tarfile.TarInfo(folder)
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for name, raw in [*reversed(content.items()), ("readme.html", b"<p>")]:
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


@pytest.fixture
def folder10(tmp_path, content10):
    return written(tmp_path / "cifar-10-batches-bin", content10[0])


@pytest.fixture
def folder100(tmp_path, content100):
    return written(tmp_path / "cifar-100-binary", content100[0])


def test_a_byte_of_a_record_is_a_pixel(tmp_path):
    """Label, then planes of 1,024 bytes by rows: byte 1 + 1024 c + 32 h + w."""
    raw = bytearray(3073)
    raw[0], raw[1 + 2 * 32 + 5], raw[1 + 1024 + 31], raw[1 + 2048 + 31 * 32] = 7, 200, 100, 50
    place = written(tmp_path / "here", dict.fromkeys([*BATCHES, "test_batch.bin"], bytes(raw)))
    test = cifar10(place).test
    expected = np.zeros((1, 32, 32, 3), np.uint8)
    expected[0, 2, 5, 0], expected[0, 0, 31, 1], expected[0, 31, 0, 2] = 200, 100, 50
    np.testing.assert_array_equal(test.x, expected)
    assert test.y.tolist() == [7]


def test_parts_hold_every_image_once_with_its_label(folder10, content10):
    splits = cifar10(folder10)
    number = {image.tobytes(): row for row, image in enumerate(content10[1])}
    rows = {part: [number[x.tobytes()] for x in getattr(splits, part).x] for part in ("train", "validation", "test")}
    assert sorted(rows["train"] + rows["validation"]) == list(range(5 * EACH))
    assert rows["test"] == list(range(5 * EACH, 6 * EACH))
    assert len(rows["validation"]) == 10  # the same share as 5,000 of 50,000
    for name, numbers in rows.items():
        part = getattr(splits, name)
        assert part.x.dtype == np.uint8
        assert part.x.shape[1:] == splits.inputs.shape == (32, 32, 3)
        assert part.x.flags.c_contiguous
        assert part.y.dtype == part.concept.dtype == np.int32
        np.testing.assert_array_equal(part.y, np.array(numbers) % EACH % 10)
        np.testing.assert_array_equal(part.concept, part.y)
    assert np.bincount(splits.validation.y).tolist() == [1] * 10
    assert splits.class_names == splits.concept_names
    assert splits.class_names[3] == "cat"


def test_coarse_labels_keep_the_fine_class_as_concept(folder100, content100):
    fine, coarse = cifar100(folder100), cifar100(folder100, labels="coarse")
    assert (fine.name, fine.num_classes, coarse.name, coarse.num_classes) == ("cifar100", 100, "cifar100_coarse", 20)
    number = {image.tobytes(): row for row, image in enumerate(content100[1])}
    assert fine.train.y.tolist() == [number[x.tobytes()] % 100 for x in fine.train.x]
    np.testing.assert_array_equal(fine.test.y, np.arange(40))
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(coarse, part).concept, getattr(fine, part).y)
        np.testing.assert_array_equal(getattr(coarse, part).x, getattr(fine, part).x)
    named = {(coarse.concept_names[c], coarse.class_names[y]) for _, y, c in zip(*coarse.train, strict=True)}
    assert named == {(name, group) for group, names in cifar.SUPERCLASSES.items() for name in names}


def test_a_subclass_can_be_the_concept(folder100):
    problem = problems.concept(cifar100(folder100, labels="coarse"), "maple_tree", 0.5)
    trees = cifar.COARSE.index("trees")
    assert set(problem.train.y[problem.concept]) == {trees}
    assert (problem.train.y == trees).sum() > len(problem.concept)  # other trees stay


def test_the_numbers_of_classes_are_those_of_the_files():
    """Spot checks against the published lists: fine_label_names and coarse_label_names."""
    assert [cifar.CLASSES_100[i] for i in (0, 1, 47, 52, 58, 81, 99)] == [
        "apple", "aquarium_fish", "maple_tree", "oak_tree", "pickup_truck", "streetcar", "worm",
    ]  # fmt: skip
    assert [cifar.COARSE[i] for i in (0, 9, 13, 19)] == [
        "aquatic_mammals", "large_man-made_outdoor_things", "non-insect_invertebrates", "vehicles_2",
    ]  # fmt: skip
    assert cifar.TO_COARSE[:10].tolist() == [4, 1, 14, 8, 0, 6, 7, 7, 18, 3]
    assert np.bincount(cifar.TO_COARSE).tolist() == [5] * 20


def test_constants_pool_the_channels():
    """Pixels with exactly these means and deviations: half of each channel at μ − σ, half at μ + σ."""
    channels = {
        "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    }
    for layout, (means, deviations) in zip((cifar.CIFAR10, cifar.CIFAR100), channels.values(), strict=True):
        pixels = 255 * np.concatenate([np.add(means, deviations), np.subtract(means, deviations)])
        assert layout.inputs.mean == pytest.approx(pixels.mean())
        assert layout.inputs.std == pytest.approx(pixels.std())


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_archive_gives_the_same_and_nothing_is_written(tmp_path, request, name):
    layout = {"cifar10": cifar.CIFAR10, "cifar100": cifar.CIFAR100}[name]
    content, _ = request.getfixturevalue(f"content{name[5:]}")
    expected = data.load(name, folder=written(tmp_path / "files", content))
    (tmp_path / "packed").mkdir()
    path = archived(tmp_path / "packed" / layout.archive, layout.folder, content)
    splits = data.load(name, folder=path.parent)
    for part in ("train", "validation", "test"):
        for found, wanted in zip(getattr(splits, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert [each.name for each in path.parent.iterdir()] == [layout.archive]


def test_train_size_is_stratified_nested_and_leaves_the_other_parts(folder10):
    whole, large, small = (cifar10(folder10, train_size=size) for size in (None, 50, 20))
    assert np.bincount(large.train.y).tolist() == [5] * 10
    keys = [{image.tobytes() for image in splits.train.x} for splits in (small, large, whole)]
    assert keys[0] < keys[1] < keys[2]
    np.testing.assert_array_equal(small.validation.x, whole.validation.x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "corse"}, "Expected labels='corse' to be one of fine, coarse. Did you mean 'coarse'"),
        ({"train_size": 0}, "Expected train_size=0"),
        ({"train_size": 2.5}, "Expected train_size=2.5"),
        ({"train_size": 181}, "Expected train_size=181 to be at most 180"),
    ],
)
def test_bad_arguments(folder100, arguments, message):
    with pytest.raises(ValueError, match=message):
        cifar100(folder100, **arguments)


def test_where_files_are_looked_for(folder10, monkeypatch, tmp_path):
    monkeypatch.delenv("UNLEARNAX_DATA", raising=False)
    for given in (folder10, folder10.parent, str(folder10)):
        assert len(cifar10(given).train.x) == 90
    with pytest.raises(FileNotFoundError, match=r"CIFAR-10 in a folder, and none is named.*`folder`.*UNLEARNAX_DATA"):
        data.load("cifar10")
    monkeypatch.setenv("UNLEARNAX_DATA", str(folder10.parent))
    assert len(data.load("cifar10").train.x) == 90
    with pytest.raises(FileNotFoundError, match=r"CIFAR-100 in one of.*cifar-100-binary\.tar\.gz.*train-\*\.parquet"):
        data.load("cifar100")
    with pytest.raises(FileNotFoundError, match="nowhere"):  # the argument, not the variable
        cifar10(tmp_path / "nowhere")


def test_a_missing_file_is_named(folder10, folder100):
    (folder10 / "data_batch_4.bin").unlink()
    (folder100 / "test.bin").unlink()
    for load, path in ((cifar10, folder10 / "data_batch_4.bin"), (cifar100, folder100 / "test.bin")):
        with pytest.raises(FileNotFoundError) as error:
            load(path.parent)
        assert str(path) in str(error.value)


ONE = records(pictures(1, 2), [3])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("data_batch_2.bin", lambda raw: raw[:-1], "hold records of 3073 bytes, found 61459 bytes"),
        ("data_batch_2.bin", lambda raw: raw + b"x", "hold records of 3073 bytes, found 61461 bytes"),
        ("test_batch.bin", lambda raw: b"", "hold records of 3073 bytes, found 0 bytes"),
        ("data_batch_5.bin", lambda raw: raw[:-3073], "hold 20 records beside the 20 of test_batch.bin, found 19"),
        ("data_batch_3.bin", lambda raw: raw + ONE, "hold 20 records beside the 20 of test_batch.bin, found 21"),
        ("data_batch_1.bin", lambda raw: b"\x0a" + raw[1:], r"labels in \[0, 10\), found 10"),
        ("test_batch.bin", lambda raw: raw[1:] + b"\0", r"labels in \[0, 10\), found"),
    ],
    ids=("cut", "too long", "empty", "cut between records", "more", "range", "shifted"),
)
def test_damaged_files_of_ten_classes(folder10, name, change, message):
    path = folder10 / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        cifar10(folder10)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train.bin", lambda raw: raw[:-1], "hold records of 3074 bytes, found 614799 bytes"),
        ("train.bin", lambda raw: raw[:-3074], "hold 200 records beside the 40 of test.bin, found 199"),
        ("train.bin", lambda raw: b"\x14" + raw[1:], r"labels in \[0, 20\), found 20"),
        ("test.bin", lambda raw: raw[:1] + b"\x64" + raw[2:], r"labels in \[0, 100\), found 100"),
        ("train.bin", lambda raw: b"\x05" + raw[1:], "class apple the coarse label 4, found 5 at row 0"),
    ],
    ids=("cut", "cut between records", "coarse range", "fine range", "not its superclass"),
)
def test_damaged_files_of_a_hundred_classes(folder100, name, change, message):
    path = folder100 / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        cifar100(folder100)
    assert str(path) in str(error.value)


def test_damaged_archives_are_named(tmp_path, content100):
    path = archived(tmp_path / "cifar-100-binary.tar.gz", "cifar-100-binary", content100[0])
    whole = path.read_bytes()
    cuts = [whole[:length] for length in (0, 5, 1000, len(whole) // 2, len(whole) - 4)]
    flips = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in (1, len(whole) // 2, len(whole) - 6)]
    for raw in [*cuts, *flips, b"no archive at all", gzip.compress(b"no tar"), gzip.compress(b"\0" * 10240)]:
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=r"whole \.tar\.gz archive|missing: cifar-100-binary/t") as error:
            cifar100(tmp_path)
        assert str(path) in str(error.value)


def test_archives_are_read_by_exact_names(tmp_path, content100):
    """Elsewhere in the archive, or a link out of it: not the file."""
    path = tmp_path / "cifar-100-binary.tar.gz"
    archived(path, "other", content100[0])
    with pytest.raises(ValueError, match=r"missing: cifar-100-binary/train\.bin, cifar-100-binary/test\.bin"):
        cifar100(tmp_path)
    (tmp_path / "secret").write_bytes(content100[0]["train.bin"])
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-100-binary/train.bin")
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(member)
        member = tarfile.TarInfo("cifar-100-binary/test.bin")
        member.size = len(content100[0]["test.bin"])
        archive.addfile(member, io.BytesIO(content100[0]["test.bin"]))
    with pytest.raises(ValueError, match=r"missing: cifar-100-binary/train\.bin\."):
        cifar100(tmp_path)


def test_damage_inside_an_archive_names_the_member(tmp_path, content100):
    content = content100[0] | {"test.bin": content100[0]["test.bin"][:-1]}
    path = archived(tmp_path / "cifar-100-binary.tar.gz", "cifar-100-binary", content)
    with pytest.raises(ValueError, match=r"test\.bin to hold records of 3074 bytes") as error:
        cifar100(tmp_path)
    assert str(path / "test.bin") in str(error.value)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("load", "files", "named"),
    [
        (cifar10, ["cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/test_batch"], "cifar-10-batches-py"),
        (cifar10, ["data_batch_1", "test_batch"], "data_batch_1"),
        (cifar10, ["cifar-10-python.tar.gz"], "cifar-10-python.tar.gz"),
        (cifar100, ["cifar-100-python/train", "cifar-100-python/test"], "cifar-100-python"),
        (cifar100, ["train", "test", "meta"], "meta"),
    ],
)
def test_the_pickled_version_is_refused_unopened(tmp_path, load, files, named):
    place, sprung = tmp_path / "data", tmp_path / "sprung"
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ValueError, match=r"the binary version \(cifar-10.*-binary\.tar\.gz.*pickled.*refused") as error:
        load(place)
    assert str(place / named) in str(error.value)
    assert not sprung.exists()


def test_the_binary_version_is_read_beside_the_pickled_one(folder10):
    (folder10.parent / "cifar-10-python.tar.gz").write_bytes(b"")
    assert len(cifar10(folder10.parent).train.x) == 90


def test_listed_and_told_by_the_doctor(folder10, monkeypatch):
    def shown(table):
        first, last = table.columns[0], table.columns[-1]
        return dict(zip(first.cells, last.cells, strict=True))

    assert shown(listing.table("datasets"))["cifar100"].startswith("Photographs of a hundred classes")
    monkeypatch.setenv("UNLEARNAX_DATA", str(folder10.parent))
    rows = shown(listing.doctor())
    assert rows["data: cifar10"] == "found: 90 train, 10 validation, 20 test, uint8"
    assert rows["data: cifar100"].startswith("not found: Expected CIFAR-100 in one of: ")
    (folder10.parent / "cifar-100-python.tar.gz").write_bytes(b"")
    assert shown(listing.doctor())["data: cifar100"].startswith("not usable: Expected the binary version")


def test_members_train_on_augmented_images(tmp_path):
    """Red images against blue ones: two members of a tiny network learn them under crop and flip, each in its own way."""
    labels = np.arange(EACH) % 2
    images = np.zeros((EACH, 32, 32, 3), np.uint8)
    images[np.arange(EACH), :, :, 2 * labels] = 200
    content = dict.fromkeys([*BATCHES, "test_batch.bin"], records(images, labels))
    splits = cifar10(written(tmp_path / "cifar-10-batches-bin", content))
    recipe = unlearnax.Recipe(
        model="cnn", model_args=(("widths", (4,)),), epochs=8, batch_size=18, augment=(("crop", ()), ("flip", ()))
    )
    model = models.build(recipe, splits.inputs, splits.num_classes)
    world = unlearnax.World(splits.train.x, splits.train.y, np.arange(len(splits.train.x)))
    population = unlearnax.fit(model, recipe, world, members=2)
    logits = np.asarray(unlearnax.predict(model, population.states, splits.test.x))
    assert logits.shape == (2, EACH, 10)
    assert (logits.argmax(-1) == splits.test.y).all()
    assert not np.allclose(logits[0], logits[1])
