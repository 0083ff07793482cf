import io
import sys

import numpy as np
import pytest
from PIL import Image

from unlearnax.data import cifar, cifar10, cifar100
from unlearnax.data.parquet import read_parquet, shards

SHAPE = (32, 32, 3)


def pictures(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8)


def encoded(image, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return {"bytes": stream.getvalue(), "path": None}


@pytest.fixture
def write():
    """Writes columns as a Parquet file of small row groups; skips where the extra is not installed."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def writer(path, **columns):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, row_group_size=7, write_page_checksum=True)
        return path

    return writer


@pytest.mark.parametrize("column", ["img", "image"])
def test_images_and_labels_in_order(tmp_path, write, column):
    images, labels = pictures(20, 0), np.arange(20) % 3
    path = write(tmp_path / "a.parquet", label=labels, other=["x"] * 20, **{column: [encoded(x) for x in images]})
    found, columns = read_parquet(path, SHAPE, ("label",), ("coarse_label",))
    np.testing.assert_array_equal(found, images)
    assert found.dtype == np.uint8
    assert list(columns) == ["label"]
    np.testing.assert_array_equal(columns["label"], labels)
    assert columns["label"].dtype == np.int64


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"img": [encoded(pictures(1, 0)[0])]}, "columns img or image, label are not all among img"),
        ({"picture": [1], "label": [1]}, "columns img or image, label are not all among picture, label"),
        ({"img": [encoded(pictures(1, 0)[0])], "label": ["cat"]}, "column label is string, not whole numbers"),
        ({"img": [encoded(pictures(1, 0)[0])], "label": [1.0]}, "column label is double, not whole numbers"),
        ({"img": [encoded(x) for x in pictures(2, 0)], "label": [1, None]}, "label is null"),
        ({"img": [{"bytes": None, "path": "a.png"}], "label": [1]}, "image is not embedded"),
        ({"img": [encoded(pictures(1, 0)[0]), None], "label": [1, 2]}, "image is not embedded"),
        ({"img": [encoded(pictures(1, 0)[0, :8, :16])], "label": [1]}, "the image is 16 × 8, RGB, not 32 × 32, RGB"),
        ({"img": [encoded(pictures(1, 0)[0, :, :, 0])], "label": [1]}, "the image is 32 × 32, L, not 32 × 32, RGB"),
        ({"img": [encoded(pictures(1, 0)[0], "JPEG")], "label": [1]}, "cannot identify image file"),
        ({"img": [{"bytes": b"\x80\x04.", "path": None}], "label": [1]}, "cannot identify image file"),
    ],
    ids=("no label", "no image", "text", "float", "null", "path only", "null image", "size", "grey", "jpeg", "no image data"),
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path, write, columns, message):
    path = write(tmp_path / "a.parquet", **columns)
    with pytest.raises(ValueError, match=message) as error:
        read_parquet(path, SHAPE, ("label",))
    assert str(path) in str(error.value)


def test_no_rows(tmp_path, write):
    import pyarrow as pa

    cell = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path = write(tmp_path / "a.parquet", img=pa.array([], cell), label=pa.array([], pa.int64()))
    with pytest.raises(ValueError, match=r"a\.parquet to hold at least one image"):
        read_parquet(path, SHAPE, ("label",))


def test_cut_and_flipped_files_never_pass_silently(tmp_path, write):
    images, labels = pictures(4, 0), [0, 1, 2, 0]
    path = write(tmp_path / "a.parquet", img=[encoded(x) for x in images], label=labels)
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.parquet to be a whole Parquet file"):
            read_parquet(path, SHAPE, ("label",))
    noticed = 0
    for place in range(0, len(whole), 211):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found, columns = read_parquet(path, SHAPE, ("label",))
        except ValueError:
            noticed += 1
            continue
        np.testing.assert_array_equal(found, images)  # a field that nobody reads
        np.testing.assert_array_equal(columns["label"], labels)
    assert noticed > 50


def test_flipped_labels_are_noticed(tmp_path, write):
    """Unlike PNG's, the labels' bytes have no checksum but the page's."""
    import pyarrow.parquet as pq

    images, labels = pictures(7, 0), [0, 1, 2, 0, 2, 2, 1]
    path = write(tmp_path / "a.parquet", img=[encoded(x) for x in images], label=labels)
    whole = path.read_bytes()
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(2)
    assert chunk.path_in_schema == "label"
    start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
    for place in range(start, start + chunk.total_compressed_size):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = read_parquet(path, SHAPE, ("label",))[1]["label"].tolist()
        except ValueError:
            continue
        assert found == labels


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for part in ("train", "test"):
        (tmp_path / f"{part}-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        ImportError, match=r"Expected the extra hf to read .*train-00000.*pip install 'unlearnax\[hf\]'"
    ):
        cifar10(tmp_path)


def test_shards_are_all_there_in_order(tmp_path):
    assert shards(tmp_path, "train") == []
    names = [f"train-{number:05}-of-00003-ab.parquet" for number in range(3)]
    for name in [*reversed(names), "test-00000-of-00001.parquet", "train-notes.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in shards(tmp_path, "train")] == names
    (tmp_path / names[1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"Expected 3 files as .*train-00000-of-00003-ab\.parquet says"):
        shards(tmp_path, "train")
    (tmp_path / names[1]).touch()
    for more in ("train-00001-of-00003-cd.parquet", "train-all.parquet"):  # of another upload
        (tmp_path / more).touch()
        with pytest.raises(FileNotFoundError, match=rf"Expected 3 files as .* found .*{more}"):
            shards(tmp_path, "train")
        (tmp_path / more).unlink()


def test_ten_classes_as_the_hub_lays_them_out(tmp_path, write):
    images, labels = pictures(60, 0), np.arange(60) % 10
    for part, rows in (("train-00000-of-00002", slice(0, 30)), ("train-00001-of-00002", slice(30, 50)),
                       ("test-00000-of-00001", slice(50, 60))):  # fmt: skip
        path = tmp_path / "plain_text" / f"{part}.parquet"
        write(path, img=[encoded(x) for x in images[rows]], label=labels[rows])
    splits = cifar10(tmp_path)
    assert [len(part.x) for part in (splits.train, splits.validation, splits.test)] == [45, 5, 10]
    np.testing.assert_array_equal(splits.test.x, images[50:])
    number = {image.tobytes(): row for row, image in enumerate(images)}
    rows = [number[x.tobytes()] for x in [*splits.train.x, *splits.validation.x]]
    assert sorted(rows) == list(range(50))
    np.testing.assert_array_equal(np.concatenate([splits.train.y, splits.validation.y]), np.array(rows) % 10)
    # The same rows in the binary version are split the same way.
    place = tmp_path / "binary"
    place.mkdir()
    raw = [bytes([y]) + x.transpose(2, 0, 1).tobytes() for x, y in zip(images, labels, strict=True)]
    for start, name in zip(range(0, 60, 10), cifar.CIFAR10.files, strict=True):
        (place / name).write_bytes(b"".join(raw[start : start + 10]))
    np.testing.assert_array_equal(cifar10(place).train.x, splits.train.x)


@pytest.mark.parametrize("with_coarse", [True, False])
def test_a_hundred_classes(tmp_path, write, with_coarse):
    fine = np.r_[np.arange(100), np.arange(20)]
    images = pictures(120, 3)
    for part, rows in (("train", slice(0, 100)), ("test", slice(100, 120))):
        more = {"coarse_label": cifar.TO_COARSE[fine[rows]]} if with_coarse else {}
        path = tmp_path / f"{part}-00000-of-00001.parquet"
        write(path, img=[encoded(x) for x in images[rows]], fine_label=fine[rows], **more)
    splits = cifar100(tmp_path, labels="coarse")
    np.testing.assert_array_equal(splits.test.concept, np.arange(20))
    np.testing.assert_array_equal(splits.test.y, cifar.TO_COARSE[:20])
    np.testing.assert_array_equal(splits.test.x, images[100:])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"fine_label": [100]}, r"labels in \[0, 100\), found 100"),
        ({"fine_label": [-1]}, r"labels in \[0, 100\), found -1"),
        ({"fine_label": [0], "coarse_label": [3]}, "class apple the coarse label 4, found 3"),
        ({"label": [0]}, "columns img or image, fine_label are not all among"),
    ],
)
def test_labels_that_cannot_be(tmp_path, write, labels, message):
    path = write(tmp_path / "train-0.parquet", img=[encoded(pictures(1, 0)[0])], **labels)
    write(tmp_path / "test-0.parquet", img=[encoded(pictures(1, 0)[0])], fine_label=[0])
    with pytest.raises(ValueError, match=message) as error:
        cifar100(tmp_path)
    assert str(path) in str(error.value)


def test_a_part_without_files(tmp_path, write):
    write(tmp_path / "train-0.parquet", img=[encoded(pictures(1, 0)[0])], label=[0])
    with pytest.raises(FileNotFoundError, match=r"test-\*\.parquet beside the other Parquet files"):
        cifar10(tmp_path)
