"""Modular arithmetic: every pair of residues, its sum or another result as the label.  Small models grok it."""

from __future__ import annotations

import numpy as np

from unlearnax import checks
from unlearnax.data.validate import check_splits
from unlearnax.types import Dataset, InputSpec, Splits

OPERATIONS = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: (a * b) % p,
}


def modular(prime: int = 23, *, operation: str = "add", train_fraction: float = 0.8, seed: int = 0) -> Splits:
    """All p² pairs (a, b) as two one-hot vectors side by side, float32 `[N, 2p]`; the label is a ∘ b mod p.

    The concept of an example is its label.  A random share of the pairs is training data, of the others a tenth, at least
    one, is validation and the rest is test.

    Args:
        prime: p, a prime of at least 5.
        operation: one of `OPERATIONS`.
        train_fraction: share of the pairs, in (0, 1); for one seed the smaller lies inside the larger.
        seed: of the split.

    Raises:
        ValueError: a number that is no prime, an unknown operation, a share that leaves no training or test pairs.

    Source: Power et al., "Grokking", 2022, arXiv 2201.02177, section 2, who embed symbols and train a transformer.
    """
    checks.at_least_one("prime", prime)
    if prime < 5 or any(prime % divisor == 0 for divisor in range(2, int(prime**0.5) + 1)):
        raise ValueError(f"Expected prime={prime} to be a prime of at least 5.")
    checks.one_of("operation", operation, OPERATIONS)
    checks.in_range("train_fraction", train_fraction, 0, 1, open_low=True, open_high=True)
    pairs = prime * prime
    a, b = np.divmod(np.arange(pairs), prime)
    x = np.concatenate([np.eye(prime, dtype=np.float32)[each] for each in (a, b)], axis=1)
    y = OPERATIONS[operation](a, b, prime).astype(np.int32)
    order = np.random.default_rng(seed).permutation(pairs)
    train = round(train_fraction * pairs)
    held = max(1, (pairs - train) // 10)
    if train < 1 or pairs - train - held < 1:
        raise ValueError(
            f"Expected train_fraction={train_fraction} of {pairs} pairs to leave training, validation and test pairs."
        )
    rows = (order[:train], order[pairs - held :], order[train : pairs - held])
    learned, validation, test = (Dataset(x[part], y[part], y[part]) for part in map(np.sort, rows))
    names, spec = tuple(str(residue) for residue in range(prime)), InputSpec((2 * prime,))
    return check_splits(Splits(f"modular-{operation}{prime}", learned, validation, test, prime, names, names, spec))
