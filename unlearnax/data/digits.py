"""Handwritten digits, 1,797 images of 8 × 8, shipped with scikit-learn."""

from __future__ import annotations

import numpy as np

from unlearnax.data.validate import check_splits, stratified
from unlearnax.types import Dataset, InputSpec, Splits

SIZES = (1400, 97, 300)  # train, validation, test: all 1,797


def digits() -> Splits:
    """Digits 0 to 9 as float32 `[N, 8, 8, 1]`, raw values 0 to 16; the concept of an example is its class.

    The split into 1,400 / 97 / 300 is fixed (seed 0) and stratified by class.

    Source: Alpaydin & Kaynak, UCI "Optical Recognition of Handwritten Digits", 1998; the test part as in scikit-learn.
    """
    from sklearn.datasets import load_digits  # slow import

    data, target = load_digits(return_X_y=True)
    x, y = np.asarray(data, np.float32).reshape(-1, 8, 8, 1), np.asarray(target, np.int32)
    train, validation, test = (Dataset(x[rows], y[rows], y[rows]) for rows in stratified(y, SIZES, seed=0))
    names = tuple(str(digit) for digit in range(10))
    return check_splits(Splits("digits", train, validation, test, 10, names, names, InputSpec((8, 8, 1), 0.0, 16.0)))
