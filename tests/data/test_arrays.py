import numpy as np
import pytest

from unlearnax import data


def source(**changes):
    """40 training and 10 test rows of 2 × 2 inputs; row i is filled with i."""
    x = np.broadcast_to(np.arange(40, dtype=np.float64)[:, None, None], (40, 2, 2)).copy()
    made = {"x_train": x, "y_train": np.arange(40) % 3, "x_test": x[:10], "y_test": np.arange(10) % 3}
    return {name: value for name, value in (made | changes).items() if value is not None}


def test_a_mapping_and_a_file_give_the_same(tmp_path):
    np.savez_compressed(tmp_path / "mine.npz", **source())
    for splits in (data.arrays(source()), data.arrays(tmp_path / "mine.npz"), data.arrays(str(tmp_path / "mine.npz"))):
        assert splits.train.x.dtype == np.float32
        assert splits.train.y.dtype == splits.train.concept.dtype == np.int32
        assert splits.num_classes == 3
        assert splits.class_names == splits.concept_names == ("0", "1", "2")
        assert splits.inputs.shape == (2, 2)
        assert (splits.inputs.mean, splits.inputs.std) == (0.0, 1.0)


def test_without_validation_a_fixed_twentieth_of_train_becomes_it():
    splits = data.arrays(source())
    assert len(splits.validation.x) == 2
    rows = np.concatenate([splits.train.x[:, 0, 0], splits.validation.x[:, 0, 0]])
    assert sorted(rows) == list(range(40))
    np.testing.assert_array_equal(splits.train.x[:, 0, 0] % 3, splits.train.y)
    np.testing.assert_array_equal(data.arrays(source()).validation.x, splits.validation.x)


def test_given_validation_concepts_names_and_constants_are_kept():
    given = source(x_validation=np.ones((4, 2, 2)), y_validation=[0, 1, 2, 0], concept_train=np.arange(40) % 2 - 1,
                   concept_test=np.full(10, -1), concept_validation=np.zeros(4, int))  # fmt: skip
    splits = data.arrays(given, name="mine", mean=2, std=3, class_names=["a", "b", "c"], concept_names=["odd"])
    assert len(splits.train.x) == 40
    assert splits.validation.y.tolist() == [0, 1, 2, 0]
    assert splits.train.concept.tolist() == [-1, 0] * 20
    assert splits.class_names == ("a", "b", "c")
    assert splits.concept_names == ("odd",)
    assert (splits.name, splits.inputs.mean, splits.inputs.std) == ("mine", 2.0, 3.0)


def test_bytes_stay_bytes():
    x = np.full((40, 2, 2, 1), 255, np.uint8)
    splits = data.arrays(source(x_train=x, x_test=x[:10]))
    assert splits.train.x.dtype == np.uint8
    assert (splits.inputs.mean, splits.inputs.std) == (0.0, 255.0)


def nan_at(row):
    x = source()["x_train"].copy()
    x[row, 1, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "Expected arrays x_train, y_train, x_test, y_test; missing: y_test"),
        ({"y_tset": np.zeros(3)}, "got also y_tset"),
        ({"x_validation": np.ones((4, 2, 2))}, "Expected x_validation and y_validation together"),
        ({"y_validation": np.ones(4, int)}, "Expected x_validation and y_validation together"),
        ({"concept_train": np.zeros(40, int)}, "Expected concepts for all of train, test or none, got train"),
        ({"concept_validation": np.zeros(40, int)}, "Expected concepts for all of train, test or none, got validation"),
        ({"x_train": nan_at(7)}, "Expected x_train to be finite in float32; 1 rows are not, the first is 7"),
        ({"x_test": np.full((10, 2, 2), -np.inf)}, "Expected x_test to be finite"),
        ({"x_test": np.full((10, 2, 2), 1e300)}, "Expected x_test to be finite in float32"),
        ({"x_train": np.zeros((40, 2, 2), int)}, "Expected x_train of type int64 to be floating or uint8"),
        ({"x_train": np.zeros((40, 2, 2), object)}, "Expected x_train of type object"),
        ({"x_train": np.zeros((40, 2, 2), complex)}, "Expected x_train of type complex128"),
        ({"x_train": np.float32(3)}, r"Expected x_train of shape \(\)"),
        ({"x_train": np.zeros(40)}, r"Expected x_train of shape \(40,\) to have an axis"),
        ({"x_train": [[1.0], [1.0, 2.0]]}, "Expected x_train to be an array"),
        ({"x_test": np.zeros((10, 3, 2))}, r"Expected test.x of shape \(10, 3, 2\) to have shape \(N, 2, 2\)"),
        ({"x_test": np.zeros((10, 2, 2), np.uint8)}, "Expected test.x of type uint8 to have train.x's type"),
        ({"y_train": np.zeros(39, int)}, r"Expected y_train of shape \(39,\) to have shape \(40,\)"),
        ({"y_train": np.zeros((40, 1), int)}, r"Expected y_train of shape \(40, 1\)"),
        ({"y_train": np.zeros(40)}, "Expected y_train of type float64 to be integers"),
        ({"y_train": np.zeros(40, bool)}, "Expected y_train of type bool to be integers"),
        ({"y_train": np.full(40, -1)}, r"Expected y_train=-1 in \[0, 2147483648\)"),
        ({"y_train": np.full(40, 2**32)}, "Expected y_train=4294967296 in"),
        ({"y_train": np.full(40, 2**30)}, r"Expected y=1073741824 in \[0, 50\]"),
        ({"y_train": np.zeros(40, int), "y_test": np.zeros(10, int)}, "Expected num_classes=1 in"),
        ({"concept_train": np.full(40, -2), "concept_test": np.zeros(10, int)}, r"Expected concept_train=-2 in \[-1"),
        ({"x_test": np.zeros((0, 2, 2)), "y_test": np.zeros(0, int)}, "Expected test with 0 examples"),
        ({"x_train": np.zeros((1, 2, 2)), "y_train": np.zeros(1, int)}, "at least 2 examples"),
    ],
)
def test_bad_arrays(changes, message):
    with pytest.raises(ValueError, match=message):
        data.arrays(source(**changes))


def test_labels_beyond_the_names():
    with pytest.raises(ValueError, match=r"Expected train.y=2 in \[0, 2\)"):
        data.arrays(source(), class_names=("a", "b"))


def test_bad_files(tmp_path):
    path = tmp_path / "mine.npz"
    with pytest.raises(FileNotFoundError, match="there is none"):
        data.arrays(path)
    path.write_bytes(b"x_train,y_train")
    with pytest.raises(ValueError, match=r"Expected .*mine\.npz to be a whole \.npz file"):
        data.arrays(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"Expected .*mine\.npz to be a whole \.npz file"):
        data.arrays(path)
    np.savez(path, **source(x_train=np.array([{"a": 1}], dtype=object)))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        data.arrays(path)


def test_cut_and_flipped_files_never_pass_silently(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **source())
    whole, expected = path.read_bytes(), data.arrays(source())
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"whole \.npz file"):
            data.arrays(path)
    for place in range(0, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            splits = data.arrays(path)
        except ValueError:
            continue
        np.testing.assert_array_equal(splits.train.x, expected.train.x)  # a field that nobody reads
        np.testing.assert_array_equal(splits.test.y, expected.test.y)
