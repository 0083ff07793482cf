"""Images and labels from Parquet files as the Hugging Face hub publishes them: read in place, no cache, nothing written."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

IMAGE_COLUMNS = ("img", "image")
BATCH = 1024  # rows decoded at once: bounds memory, changes no value


def shards(folder: Path, part: str) -> list[Path]:
    """The files ``{part}-*.parquet`` of a folder in order; none where there are none.

    Raises:
        FileNotFoundError: names that count themselves (``train-00000-of-00002.parquet``), and one is missing or too many.
    """
    paths = sorted(folder.glob(f"{part}-*.parquet"))
    numbers = [re.match(rf"{part}-(\d+)-of-(\d+)\b", path.name) for path in paths]
    for path, number in zip(paths, numbers, strict=True):
        if number is None:
            continue
        found = [int(each[1]) for each in numbers if each is not None]
        if found != list(range(int(number[2]))) or len(found) != len(paths):
            names = ", ".join(each.name for each in paths)
            raise FileNotFoundError(f"Expected {int(number[2])} files as {path} says, from 0 on, found {names}.")
    return paths


def _pixels(cell: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """One image `shape` uint8 from a cell {bytes, path} that embeds a PNG."""
    from PIL import Image

    if not cell or not cell.get("bytes"):
        raise ValueError("the image is not embedded (its bytes are null)")
    # PNG alone: it loses nothing, and no other decoder need face bytes from elsewhere.
    with Image.open(io.BytesIO(cell["bytes"]), formats=("PNG",)) as image:
        height, width, channels = shape
        if image.size != (width, height) or image.mode != "RGB" or channels != 3:
            raise ValueError(
                f"the image is {image.size[0]} × {image.size[1]}, {image.mode}, not {width} × {height}, RGB"
            )
        return np.asarray(image)


def read_parquet(
    path: Path, shape: tuple[int, int, int], labels: Sequence[str], optional: Sequence[str] = ()
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images `[N, *shape]` uint8 of the column img or image, and columns of whole numbers `[N]` int64 by name.

    Args:
        path: one file.  shape: (height, width, 3).  labels: columns that must be there.  optional: read if there.

    Raises:
        ImportError: the extra `hf` is not installed.
        ValueError: a damaged file, a missing column, a label that is no whole number, an image that is not an embedded
            RGB PNG of this shape; the file is named.
    """
    try:
        import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]
        from pyarrow import types  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"Expected the extra hf to read {path}: pip install 'unlearnax[hf]'. ({error})") from error
    images, values = [], []
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            there = file.schema_arrow.names
            column = next((name for name in IMAGE_COLUMNS if name in there), None)
            missing = [name for name in labels if name not in there]
            if column is None or missing:
                wanted = (" or ".join(IMAGE_COLUMNS), *labels)
                raise ValueError(f"the columns {', '.join(wanted)} are not all among {', '.join(there)}")
            names = [*labels, *(name for name in optional if name in there)]
            for name in names:
                if not types.is_integer(file.schema_arrow.field(name).type):
                    raise ValueError(f"the column {name} is {file.schema_arrow.field(name).type}, not whole numbers")
            for batch in file.iter_batches(BATCH, columns=[column, *names]):
                rows = [batch.column(name) for name in names]
                if any(row.null_count for row in rows):
                    raise ValueError(f"a label among {', '.join(names)} is null")
                images += [_pixels(cell, shape) for cell in batch.column(column).to_pylist()]
                values.append(np.stack([row.to_numpy().astype(np.int64) for row in rows]))
    except Exception as error:  # damage surfaces in many ways: footer, page, codec, PNG chunk
        raise ValueError(f"Expected {path} to be a whole Parquet file of images with labels: {error}.") from error
    if not images:
        raise ValueError(f"Expected {path} to hold at least one image, found none.")
    return np.stack(images), dict(zip(names, np.concatenate(values, axis=1), strict=True))
