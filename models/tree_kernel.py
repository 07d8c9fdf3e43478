"""Compiled loops of the explanation of trees: filling the pattern tables, and reading them."""

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from models.tree_text import ZERO

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

# Rows decided together: their columns and contributions stay in the second-level cache.
CHUNK_ROWS: Final = 1024
# Fewer rows are explained one by one: the loops over rows would cost more than they save.
_FEW_ROWS: Final = 8
_LOGGER: Final = logging.getLogger(__name__)


class Plan(NamedTuple):
    """Trees and tables as the loops read them. `x_starts[i]` to `x_starts[i + 1]` are i's own.

    Attributes
    ----------
    node_feature, node_threshold, node_zero_left, node_missing_left : array
        Nodes of all trees, one tree after the other; see `models.tree_text.Tree`.
    node_categories : array of int
        Number of a categorical node's set; -1 where the node splits numbers.
    category_starts, category_left : array
        Codes of each set that go left.
    tree_nodes, tree_pieces : array of int
        Starts of each tree's nodes and pieces.
    piece_bits, bit_conditions : array of int
        Starts of each piece's bits and each bit's conditions.
    condition_node, condition_right : array
        Node, numbered within its tree, and whether it must send the loan right.
    piece_slots, slot_feature : array of int
        Starts of each piece's columns of its table, and their features.
    piece_table : array of int
        Start of each piece's table: column by column, a number for every pattern.
    table : array of float
        All tables.
    """

    node_feature: Ints
    node_threshold: Array
    node_zero_left: Bytes
    node_missing_left: Bytes
    node_categories: Ints
    category_starts: Ints
    category_left: Bytes
    tree_nodes: Ints
    tree_pieces: Ints
    piece_bits: Ints
    bit_conditions: Ints
    condition_node: Ints
    condition_right: Bytes
    piece_slots: Ints
    slot_feature: Ints
    piece_table: Ints
    table: Array


class Leaves(NamedTuple):
    """Leaves of all pieces, from which the tables are filled; see `models.tree_tables`.

    Attributes
    ----------
    piece_leaves, leaf_terms : array of int
        Starts of each piece's leaves and each leaf's terms.
    leaf_value : array of float
        Score of each leaf.
    term_slot, term_mask, term_expected : array of int
        Column of the piece's table; the term is satisfied where `pattern & mask == expected`.
    term_share : array of float
        Share of training rows that satisfy it.
    """

    piece_leaves: Ints
    leaf_terms: Ints
    leaf_value: Array
    term_slot: Ints
    term_mask: Ints
    term_expected: Ints
    term_share: Array


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call, without the interpreter's lock while it runs.

    Kept on disk beside this file, or in the user's cache folder where that is read-only.
    """
    try:
        return numba.njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:
        # Numba found no folder it may write to. The numbers are the same.
        _LOGGER.warning(
            "%s is compiled anew in every process: no folder can hold compiled code; set"
            " NUMBA_CACHE_DIR to one",
            function.__qualname__,
        )
        return numba.njit(function, nogil=True, error_model="numpy")


@_compiled
def fill_tables(plan: Plan, leaves: Leaves, times: Array, weights: Array) -> None:
    """Fill `plan.table` with the contributions of every pattern.

    Parameters
    ----------
    plan : Plan
        Its table all zero.
    leaves : Leaves
        What to fill it from.
    times, weights : array, shape (terms + 1, nodes)
        Gauss-Legendre on [0, 1] for each number of terms; see `models.tree_tables`.
    """
    for piece in range(len(plan.piece_table) - 1):
        patterns = 1 << (plan.piece_bits[piece + 1] - plan.piece_bits[piece])
        start = plan.piece_table[piece]
        for leaf in range(leaves.piece_leaves[piece], leaves.piece_leaves[piece + 1]):
            first, last = leaves.leaf_terms[leaf], leaves.leaf_terms[leaf + 1]
            terms = last - first
            share = leaves.term_share[first:last]
            own = _leaf_table(leaves.leaf_value[leaf], share, times[terms], weights[terms])
            for pattern in range(patterns):
                met = 0
                for j in range(terms):
                    if pattern & leaves.term_mask[first + j] == leaves.term_expected[first + j]:
                        met |= 1 << j
                for j in range(terms):
                    column = start + leaves.term_slot[first + j] * patterns
                    plan.table[column + pattern] += own[met, j]


@_compiled
def _leaf_table(value: float, share: Array, times: Array, weights: Array) -> Array:
    """Contributions of each term of one leaf, by which of them are met."""
    terms = len(share)
    own = np.zeros((1 << terms, terms))
    after = np.empty(terms + 1)
    for met in range(1 << terms):
        for node in range((terms + 1) // 2):
            t, before = times[node], weights[node]
            after[terms] = 1.0
            for j in range(terms - 1, -1, -1):
                after[j] = after[j + 1] * (t * ((met >> j) & 1) + (1.0 - t) * share[j])
            for j in range(terms):
                own[met, j] += before * after[j + 1]
                before *= t * ((met >> j) & 1) + (1.0 - t) * share[j]
        for j in range(terms):
            own[met, j] *= value * (((met >> j) & 1) - share[j])
    return own


@_compiled
def add_contributions(plan: Plan, matrix: Array, most_nodes: int, result: Array) -> None:
    """Add the contributions of all trees to `result`, tree by tree, whatever the rows beside.

    Parameters
    ----------
    plan : Plan
        Trees and tables.
    matrix : array, shape (loans, features), C order
        From `models.trees.tree_matrix`.
    most_nodes : int
        Nodes of the largest tree.
    result : array, shape (loans, features or more), C order
        Added to.
    """
    loans, features = matrix.shape
    if loans < _FEW_ROWS:
        answers, values = np.empty(most_nodes, dtype=np.uint8), np.empty(features)
        for row in range(loans):
            for feature in range(features):
                values[feature] = _without_traces(matrix[row, feature])
            _add_row(plan, values, answers, result[row])
        return
    size = min(loans, CHUNK_ROWS)
    columns = np.empty((features, size))
    sums = np.empty((features, size))
    right = np.empty((most_nodes, size), dtype=np.uint8)
    met = np.empty(size, dtype=np.uint8)
    pattern = np.empty(size, dtype=np.uint16)
    for start in range(0, loans, size):
        rows = min(size, loans - start)
        for row in range(rows):
            for feature in range(features):
                columns[feature, row] = _without_traces(matrix[start + row, feature])
        sums[:] = 0.0
        for tree in range(len(plan.tree_nodes) - 1):
            _decide(plan, tree, columns, rows, right)
            for piece in range(plan.tree_pieces[tree], plan.tree_pieces[tree + 1]):
                _find_pattern(plan, piece, right, rows, met, pattern)
                _add_piece(plan, piece, pattern, rows, sums)
        for row in range(rows):
            for feature in range(features):
                result[start + row, feature] += sums[feature, row]


@_compiled
def _without_traces(value: float) -> float:
    """A value as LightGBM takes it in: what it holds for zero is zero."""
    return 0.0 if abs(value) <= ZERO else value


@_compiled
def _decide(plan: Plan, tree: int, columns: Array, rows: int, right: Bytes) -> None:
    """Which way each row goes at every node of a tree, reached or not."""
    first = plan.tree_nodes[tree]
    for node in range(first, plan.tree_nodes[tree + 1]):
        values, answer = columns[plan.node_feature[node]], right[node - first]
        known = plan.node_categories[node]
        if known >= 0:
            codes = plan.category_starts[known : known + 2]
            left = plan.category_left[codes[0] : codes[1]]
            for row in range(rows):
                answer[row] = _code_goes_right(values[row], left)
        else:
            threshold = plan.node_threshold[node]
            zero_left = plan.node_zero_left[node]
            missing_left = plan.node_missing_left[node]
            for row in range(rows):
                answer[row] = _number_goes_right(values[row], threshold, zero_left, missing_left)


@_compiled
def _find_pattern(
    plan: Plan, piece: int, right: Bytes, rows: int, met: Bytes, pattern: NDArray[np.uint16]
) -> None:
    """Pattern of each row in a piece."""
    pattern[:rows] = 0
    first = plan.piece_bits[piece]
    for bit in range(first, plan.piece_bits[piece + 1]):
        for row in range(rows):
            met[row] = 1
        for condition in range(plan.bit_conditions[bit], plan.bit_conditions[bit + 1]):
            answer = right[plan.condition_node[condition]]
            wrong = np.uint8(1 - plan.condition_right[condition])
            for row in range(rows):
                met[row] &= answer[row] ^ wrong
        shift = np.uint16(bit - first)
        for row in range(rows):
            pattern[row] |= np.uint16(met[row]) << shift


@_compiled
def _add_piece(plan: Plan, piece: int, pattern: NDArray[np.uint16], rows: int, sums: Array) -> None:
    """Add what the table says of each row's pattern."""
    first, start = plan.piece_slots[piece], plan.piece_table[piece]
    patterns = 1 << (plan.piece_bits[piece + 1] - plan.piece_bits[piece])
    for slot in range(plan.piece_slots[piece + 1] - first):
        total = sums[plan.slot_feature[first + slot]]
        column = plan.table[start + slot * patterns : start + (slot + 1) * patterns]
        for row in range(rows):
            total[row] += column[pattern[row]]


@_compiled
def _add_row(plan: Plan, values: Array, right: Bytes, sums: Array) -> None:
    """Do for one row what the loops above do for many: the same sums in the same order."""
    for tree in range(len(plan.tree_nodes) - 1):
        node_start = plan.tree_nodes[tree]
        for node in range(node_start, plan.tree_nodes[tree + 1]):
            value, known = values[plan.node_feature[node]], plan.node_categories[node]
            if known >= 0:
                codes = plan.category_starts[known : known + 2]
                left = plan.category_left[codes[0] : codes[1]]
                right[node - node_start] = _code_goes_right(value, left)
            else:
                right[node - node_start] = _number_goes_right(
                    value,
                    plan.node_threshold[node],
                    plan.node_zero_left[node],
                    plan.node_missing_left[node],
                )
        for piece in range(plan.tree_pieces[tree], plan.tree_pieces[tree + 1]):
            first_bit, pattern = plan.piece_bits[piece], 0
            bits = plan.piece_bits[piece + 1] - first_bit
            for bit in range(bits):
                met = 1
                for condition in range(
                    plan.bit_conditions[first_bit + bit], plan.bit_conditions[first_bit + bit + 1]
                ):
                    answer = right[plan.condition_node[condition]]
                    met &= answer == plan.condition_right[condition]
                pattern |= met << bit
            at = plan.piece_table[piece] + pattern
            for slot in range(plan.piece_slots[piece], plan.piece_slots[piece + 1]):
                sums[plan.slot_feature[slot]] += plan.table[at]
                at += 1 << bits


@_compiled
def _number_goes_right(value: float, threshold: float, zero_left: int, missing_left: int) -> bool:
    """Which way a number goes."""
    goes = value > threshold
    goes = zero_left == 0 if value == 0.0 else goes
    return missing_left == 0 if value != value else goes


@_compiled
def _code_goes_right(value: float, left: Bytes) -> bool:
    """Which way a category goes: right where it is missing, negative or beyond the set."""
    # Cut to a whole number, as a C cast does: -0.5 is code 0.
    return not (value > -1.0 and value < len(left) and left[int(value)])
