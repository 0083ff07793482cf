import gzip
import os
import struct

import numpy as np
import pytest

from unlearnax import data
from unlearnax.data import fashion_mnist as from_folder


def idx(array, magic=None):
    header = bytes((0, 0, 8, array.ndim)) if magic is None else magic
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """120 training and 20 test images in the true format; image i is filled with its number."""
    place = tmp_path / "fashion-mnist"
    place.mkdir()
    for part, count in (("train", 120), ("t10k", 20)):
        x = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 28, 28))
        (place / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x), 1))
        (place / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(count, dtype=np.uint8) % 10)))
    return place


def test_parts_hold_every_image_once_with_its_label(folder):
    splits = from_folder(folder)
    numbers = np.concatenate([splits.train.x[:, 0, 0, 0], splits.validation.x[:, 5, 5, 0]])
    assert sorted(numbers) == list(range(120))
    assert len(splits.validation.x) == 10  # the same share as 5,000 of 60,000
    for part in (splits.train, splits.validation, splits.test):
        assert part.x.dtype == np.uint8
        assert part.x.shape[1:] == splits.inputs.shape == (28, 28, 1)
        assert part.y.dtype == part.concept.dtype == np.int32
        np.testing.assert_array_equal(part.x[:, 0, 0, 0] % 10, part.y)
        np.testing.assert_array_equal(part.y, part.concept)
    assert np.bincount(splits.validation.y).tolist() == [1] * 10
    assert splits.inputs.mean == pytest.approx(72.93)
    assert splits.inputs.std == pytest.approx(90.015)


def test_coarse_labels_keep_the_fine_class_as_concept(folder):
    fine, coarse = from_folder(folder), from_folder(folder, labels="coarse")
    assert coarse.num_classes == 5
    np.testing.assert_array_equal(coarse.train.concept, fine.train.y)
    named = {(coarse.concept_names[c], coarse.class_names[y]) for c, y in zip(*coarse.train[:0:-1], strict=True)}
    assert named == {
        ("T-shirt", "top"), ("pullover", "top"), ("coat", "top"), ("shirt", "top"), ("trouser", "bottom"),
        ("dress", "dress"), ("sandal", "shoe"), ("sneaker", "shoe"), ("ankle boot", "shoe"), ("bag", "bag"),
    }  # fmt: skip
    assert fine.name != coarse.name


def test_train_size_is_stratified_nested_and_leaves_the_other_parts(folder):
    whole, large, small = (from_folder(folder, train_size=size) for size in (None, 50, 20))
    assert np.bincount(large.train.y).tolist() == [5] * 10
    assert set(small.train.x[:, 0, 0, 0]) < set(large.train.x[:, 0, 0, 0]) < set(whole.train.x[:, 0, 0, 0])
    np.testing.assert_array_equal(small.validation.x, whole.validation.x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "corse"}, "Expected labels='corse' to be one of fine, coarse. Did you mean 'coarse'"),
        ({"train_size": 0}, "Expected train_size=0"),
        ({"train_size": 2.5}, "Expected train_size=2.5"),
        ({"train_size": 111}, "Expected train_size=111 to be at most 110"),
    ],
)
def test_bad_arguments(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        from_folder(folder, **arguments)


def test_where_files_are_looked_for(folder, monkeypatch, tmp_path):
    for given in (folder, folder.parent):  # the folder itself, or the one above
        monkeypatch.setenv("UNLEARNAX_DATA", str(given))
        assert len(data.load("fashion_mnist").train.x) == 110
    with pytest.raises(FileNotFoundError, match=r"dataset-fashion-mnist.*`folder`.*UNLEARNAX_DATA") as error:
        from_folder(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(error.value)


def test_a_missing_file_is_not_found(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz"):
        from_folder(folder)


def labels(count, value=3):
    return np.full(count, value, np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1", gzip.compress(idx(labels(120)))[:-12], "train-labels.*hold .* bytes.*found .* bytes"),
        ("train-labels-idx1", gzip.compress(idx(labels(120)))[:12], "train-labels.*header of 8 bytes, found 0 bytes"),
        ("train-labels-idx1", b"", "header of 8 bytes, found 0 bytes"),
        ("train-labels-idx1", b"not gzip at all", "header of 8 bytes, found 0 bytes: Not a gzipped file"),
        ("train-labels-idx1", gzip.compress(idx(labels(120))[:-1]), r"hold 128 bytes for shape \(120,\), found 127 bytes"),
        ("train-labels-idx1", gzip.compress(idx(labels(120)) + b"x"), "hold 128 bytes .* found 129 bytes"),
        ("train-labels-idx1", gzip.compress(idx(labels(120), b"\0\0\x0d\x01")), "bytes 00000801, found 00000d01"),
        ("train-images-idx3", gzip.compress(idx(labels(120))), "start with the bytes 00000803, found 00000801"),
        ("train-images-idx3", gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), "hold 79228162458924105385300197391 bytes"),
        ("train-labels-idx1", gzip.compress(idx(labels(119))), "one image of 28 × 28 for each of the 119 labels"),
        ("train-labels-idx1", gzip.compress(idx(labels(120, 10))), r"labels in \[0, 10\), found 10"),
        ("t10k-images-idx3", gzip.compress(idx(np.zeros((20, 8, 8), np.uint8))), r"shape \(20, 8, 8\)"),
    ],
    ids=("cut", "cut header", "empty", "no gzip", "too short", "too long", "type", "rank", "dimensions", "count", "range",
         "size"),
)  # fmt: skip
def test_damaged_files_are_named_with_what_was_found(folder, name, content, message):
    path = folder / f"{name}-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        from_folder(folder)
    assert str(path) in str(error.value)


def test_a_flipped_byte_is_noticed(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 6):  # in the data, and in the checksum
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="train-images"):
            from_folder(folder)


@pytest.mark.skipif(not os.path.isdir("/usr/share/datasets/fashion-mnist"), reason="Debian's package is not installed")
def test_the_real_files():
    splits = from_folder("/usr/share/datasets/fashion-mnist", train_size=1000)
    assert [len(part.x) for part in (splits.train, splits.validation, splits.test)] == [1000, 5000, 10_000]
    assert np.bincount(splits.train.y).tolist() == [100] * 10
    assert np.bincount(splits.validation.y).tolist() == [500] * 10
    assert splits.test.x.mean() == pytest.approx(splits.inputs.mean, rel=0.01)
    assert splits.test.x.std() == pytest.approx(splits.inputs.std, rel=0.01)
