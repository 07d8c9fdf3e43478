"""Exact path-dependent TreeSHAP over pattern tables: the same numbers as LightGBM's, far sooner."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.tree_kernel import CHUNK_ROWS, add_contributions
from models.tree_tables import MOST_BITS, Tables, build_tables, cut
from models.tree_text import read_trees

Array = NDArray[np.float64]
# 900 trees of 31 leaves take 46 MB, 500 of 127 leaves at depth 12 about a gigabyte. The tables of
# a champion and a challenger fit beside each other in a service of one gigabyte.
TABLE_BUDGET_BYTES: Final = 256 * 2**20
# Rows below which a second thread costs more than it brings.
_ROWS_A_THREAD: Final = 2 * CHUNK_ROWS


def tables_within(texts: Sequence[str], budget_bytes: int) -> Tables | None:
    """Pattern tables of boosters, their trees together.

    Parameters
    ----------
    texts : sequence of str
        LightGBM model texts.
    budget_bytes : int
        Most that the tables may take.

    Returns
    -------
    Tables, or None
        None where the trees are too deep or too many for the budget.

    Raises
    ------
    ModelsError
        When a booster is of a kind that cannot be explained; see `models.tree_text.read_trees`.
    """
    trees = list(chain.from_iterable(read_trees(text) for text in texts))
    cuts = [cut(tree) for tree in trees]
    pieces = list(chain.from_iterable(cuts))
    if any(piece.bits > MOST_BITS for piece in pieces):
        return None
    if sum(piece.table_bytes for piece in pieces) > budget_bytes:
        return None
    return build_tables(trees, cuts)


def tree_contributions(tables: Tables, matrix: Array) -> Array:
    """Contributions of each feature to the sum of the trees.

    Rows are shared out among threads (`NUMBA_NUM_THREADS`, else the processors at hand); every row
    is summed tree by tree, so that neither their number nor the other rows change a bit.

    Parameters
    ----------
    tables : Tables
        From `tables_within`.
    matrix : array, shape (loans, features), C order
        From `models.trees.tree_matrix`.

    Returns
    -------
    array, shape (loans, features + 1)
        The last column is the base.

    Raises
    ------
    ModelsError
        When the matrix has fewer columns than the trees read.
    """
    loans, features = matrix.shape
    asked = int(tables.plan.node_feature.max(initial=-1)) + 1
    if features < asked:
        # The compiled loops check no bounds.
        raise ModelsError(
            f"the matrix has {features} columns, the trees read {asked}; give all features of the"
            " model in their order"
        )
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    result = np.zeros((loans, features + 1))
    threads = min(_threads(), loans // _ROWS_A_THREAD)

    def explain(part: slice) -> None:
        add_contributions(tables.plan, matrix[part], tables.most_nodes, result[part])

    if threads < 2:
        explain(slice(None))
    else:
        bounds = np.linspace(0, loans, threads + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(explain, map(slice, bounds[:-1], bounds[1:])))
    result[:, -1] = tables.base
    return result


def _threads() -> int:
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
