"""Trees read from a LightGBM model text: plain arrays, nothing of the library behind them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What a float that LightGBM takes for zero may be at most; a constant of single precision there.
ZERO: Final = float(np.float32(1e-35))
_CATEGORICAL: Final = 1
_DEFAULT_LEFT: Final = 2
_MISSING_IS_ZERO: Final = 1
_MISSING_IS_NAN: Final = 2
_BITS_A_WORD: Final = 32


@dataclass(frozen=True)
class Tree:
    """One tree. Inner nodes are numbered from 0, a parent before its children.

    Attributes
    ----------
    left, right : array of int, shape (nodes,)
        Children: an inner node, or `~leaf`.
    feature : array of int, shape (nodes,)
        Column of the matrix.
    threshold : array of float, shape (nodes,)
        A number goes left up to here; NaN at categorical nodes.
    zero_left, missing_left : array of bool, shape (nodes,)
        Whether a zero and a missing number go left. (A missing category always goes right.)
    categories : dict of int to array of bool
        By categorical node, the codes that go left; codes beyond the array go right.
    node_count : array of float, shape (nodes,)
        Training rows that passed through (`internal_count`).
    leaf_count, leaf_value : array of float, shape (leaves,)
        Training rows that ended in a leaf, and its score.
    """

    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    zero_left: NDArray[np.bool_]
    missing_left: NDArray[np.bool_]
    categories: dict[int, NDArray[np.bool_]]
    node_count: Floats
    leaf_count: Floats
    leaf_value: Floats


def read_trees(text: str) -> list[Tree]:
    """Trees of a LightGBM model text, in order.

    Raises
    ------
    ModelsError
        When the text is none, or of a kind that does not add up its trees' constant leaves:
        several classes, averaged forests, linear leaves.
    """
    head, *parts = text.split("\nTree=")
    about = dict(line.partition("=")[::2] for line in head.splitlines())
    if about.get("version") != "v4":
        raise ModelsError(
            "not a LightGBM model text of version v4: train the model with LightGBM 4"
        )
    if about.get("num_tree_per_iteration") != "1" or "average_output" in about:
        raise ModelsError(
            "the booster has several classes or averages its trees; only boosted trees of one score"
            " can be explained: train with boosting = gbdt and one target"
        )
    return [_read_tree(part.partition("\n\n")[0]) for part in parts]


def _read_tree(part: str) -> Tree:
    fields = dict(line.partition("=")[::2] for line in part.splitlines()[1:])
    if fields["is_linear"] != "0":
        raise ModelsError("the booster has linear leaves; train with linear_tree = false")

    def floats(name: str) -> Floats:
        return np.array(fields[name].split(), dtype=np.float64)

    def ints(name: str) -> Ints:
        return np.array(fields[name].split(), dtype=np.int64)

    kind, threshold = ints("decision_type"), floats("threshold")
    missing = (kind >> 2) & 3
    default_left = (kind & _DEFAULT_LEFT) > 0
    # Where a node knows no missing values, LightGBM reads them as zero.
    zero_left = np.where(missing == _MISSING_IS_ZERO, default_left, threshold >= 0)
    missing_left = np.where(missing == _MISSING_IS_NAN, default_left, zero_left)
    categories = {}
    if int(fields["num_cat"]):
        bounds, words = ints("cat_boundaries"), ints("cat_threshold")
        for node in np.flatnonzero(kind & _CATEGORICAL):
            place = int(threshold[node])
            own = words[bounds[place] : bounds[place + 1]]
            bits = (own[:, None] >> np.arange(_BITS_A_WORD)) & 1
            categories[int(node)] = bits.ravel().astype(np.bool_)
    return Tree(
        left=ints("left_child"),
        right=ints("right_child"),
        feature=ints("split_feature"),
        threshold=np.where(kind & _CATEGORICAL, np.nan, threshold),
        zero_left=zero_left,
        missing_left=missing_left,
        categories=categories,
        node_count=floats("internal_count"),
        leaf_count=floats("leaf_count"),
        leaf_value=floats("leaf_value"),
    )
