"""Pattern tables: every contribution a tree can make, worked out before the first loan.

Path-dependent TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2) of a leaf depends on a
loan only through *which* of the features on the leaf's path it satisfies: with D of them there are
2^D patterns, and D contributions for each. (FastTreeSHAP v2, Yang 2021, and WOODELF, 2025, work by
the same idea.) Neighbouring leaves share most of their path, so a tree is cut into pieces:
subtrees whose leaves are tabled together. The pattern of a piece has a bit for each feature on the
way to it, set where the loan would take that way, and a bit for each node within, set where it
goes left.

With v the leaf's score, o[d] whether the loan satisfies feature d and z[d] the share of training
rows that do (the product of the cover ratios along the path), the Shapley value of d is

    v * (o[d] - z[d]) * integral over t in [0, 1] of product over j != d of
        (t * o[j] + (1 - t) * z[j])

for its weights |S|! (D - 1 - |S|)! / D! are Beta integrals. The integrand is a polynomial of degree
D - 1 without cancellation; Gauss-Legendre with half as many nodes as terms integrates it exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.tree_kernel import Leaves, Plan, fill_tables
from models.tree_text import Tree

Array = NDArray[np.float64]
# A pattern is held in 16 bits.
MOST_BITS: Final = 16
# Two parts of a tree are joined while the table of the whole is no larger than the tables of the
# parts, or small enough to stay in the first-level cache beside the rows.
_SMALL_BYTES: Final = 16_384
_FLOAT_BYTES: Final = 8
_Number = TypeVar("_Number", bound=np.generic)
# Nodes on the way to a place in a tree, and whether the way turns right there.
Way = tuple[tuple[int, bool], ...]


@dataclass(frozen=True)
class Piece:
    """A subtree, or a single leaf, whose leaves are tabled together.

    Attributes
    ----------
    root : int
        Inner node, or `~leaf`.
    way : tuple of (int, bool)
        Nodes above it, and whether the way turns right there.
    bits, width : int
        Of its pattern; columns of its table.
    """

    root: int
    way: Way
    bits: int
    width: int

    @property
    def table_bytes(self) -> int:
        """Size of its table."""
        return _table_bytes(self.bits, self.width)


@dataclass(frozen=True)
class Tables:
    """Pattern tables of all trees, and the score before any feature.

    Attributes
    ----------
    plan : Plan
        What the loops read.
    base : float
        Sum over the trees of their mean leaf by training rows.
    most_nodes : int
        Nodes of the largest tree.
    """

    plan: Plan
    base: float
    most_nodes: int


def cut(tree: Tree) -> list[Piece]:
    """Cut a tree into pieces, from left to right."""
    ways: dict[int, Way] = {0: ()} if len(tree.left) else {}
    for node in range(len(tree.left)):
        ways[int(tree.left[node])] = (*ways[node], (node, False))
        ways[int(tree.right[node])] = (*ways[node], (node, True))
    above = {place: frozenset(int(tree.feature[n]) for n, _ in way) for place, way in ways.items()}
    # Leaf or node -> nodes and features of the subtree, bytes of its tables, whether it is whole.
    parts = {p: (0, f, _table_bytes(len(f), len(f)), True) for p, f in above.items() if p < 0}
    for node in range(len(tree.left) - 1, -1, -1):
        left, right = parts[int(tree.left[node])], parts[int(tree.right[node])]
        nodes, features = left[0] + right[0] + 1, left[1] | right[1]
        apart, bits = left[2] + right[2], len(above[node]) + nodes
        together = _table_bytes(bits, len(features))
        fits = bits <= MOST_BITS and together <= max(apart, _SMALL_BYTES)
        whole = left[3] and right[3] and fits
        parts[node] = (nodes, features, together if whole else apart, whole)
    pieces, open_places = [], [0] if ways else []
    while open_places:
        place = open_places.pop()
        nodes, features, _, whole = parts[place]
        if whole:
            pieces.append(Piece(place, ways[place], len(above[place]) + nodes, len(features)))
        else:
            open_places += [int(tree.right[place]), int(tree.left[place])]
    return pieces


def _table_bytes(bits: int, width: int) -> int:
    return _FLOAT_BYTES * width << bits


class _Lists:
    """The arrays of `Plan` and `Leaves` while they grow."""

    def __init__(self) -> None:
        self.bits: list[int] = []
        self.conditions: list[int] = []
        self.condition_node: list[int] = []
        self.condition_right: list[bool] = []
        self.slots: list[int] = []
        self.slot_feature: list[int] = []
        self.leaves: list[int] = []
        self.leaf_value: list[float] = []
        self.terms: list[int] = []
        self.term_slot: list[int] = []
        self.term_mask: list[int] = []
        self.term_expected: list[int] = []
        self.term_share: list[float] = []
        self.base = 0.0

    def add_piece(self, tree: Tree, piece: Piece) -> None:
        """Add a piece with its bits, columns and leaves."""
        places = _places_under(tree, piece)
        inner = [place for place, _ in places if place >= 0]
        by_feature: dict[int, list[tuple[int, bool]]] = {}
        for node, right in piece.way:
            by_feature.setdefault(int(tree.feature[node]), []).append((node, right))
        above = {feature: 1 << place for place, feature in enumerate(by_feature)}
        for conditions in (*by_feature.values(), *([(node, False)] for node in inner)):
            self.conditions.append(len(conditions))
            self.condition_node += [node for node, _ in conditions]
            self.condition_right += [right for _, right in conditions]
        self.bits.append(len(by_feature) + len(inner))
        within = {node: 1 << (len(above) + place) for place, node in enumerate(inner)}
        slot = {feature: place for place, feature in enumerate(above)}
        for node in inner:
            slot.setdefault(int(tree.feature[node]), len(slot))
        self.slots.append(len(slot))
        self.slot_feature += slot
        leaves = [(~place, way) for place, way in places if place < 0]
        self.leaves.append(len(leaves))
        for leaf, way in leaves:
            self._add_leaf(tree, leaf, way, above, within, slot)

    def _add_leaf(
        self,
        tree: Tree,
        leaf: int,
        way: Way,
        above: dict[int, int],
        within: dict[int, int],
        slot: dict[int, int],
    ) -> None:
        share: dict[int, float] = {}
        mask, expected = dict(above), dict(above)
        whole = 1.0
        for step, (node, right) in enumerate(way):
            feature = int(tree.feature[node])
            below = tree.node_count[way[step + 1][0]] if step + 1 < len(way) else None
            count = tree.leaf_count[leaf] if below is None else below
            ratio = float(count / tree.node_count[node])
            share[feature] = share.get(feature, 1.0) * ratio
            whole *= ratio
            if node in within:
                mask[feature] = mask.get(feature, 0) | within[node]
                expected[feature] = expected.get(feature, 0) | (0 if right else within[node])
        value = float(tree.leaf_value[leaf])
        self.leaf_value.append(value)
        self.terms.append(len(share))
        self.term_slot += [slot[feature] for feature in share]
        self.term_mask += [mask[feature] for feature in share]
        self.term_expected += [expected[feature] for feature in share]
        self.term_share += share.values()
        self.base += value * whole


def _places_under(tree: Tree, piece: Piece) -> list[tuple[int, Way]]:
    """Inner nodes and leaves of a piece, each with its whole way from the tree's root."""
    places, open_places = [], [(piece.root, piece.way)]
    while open_places:
        place, way = open_places.pop()
        places.append((place, way))
        if place >= 0:
            open_places.append((int(tree.right[place]), (*way, (place, True))))
            open_places.append((int(tree.left[place]), (*way, (place, False))))
    return places


def build_tables(trees: Sequence[Tree], cuts: Sequence[list[Piece]]) -> Tables:
    """Build the tables of trees that were cut with `cut`.

    Raises
    ------
    ModelsError
        When a node was passed by no training row: its cover ratios are undefined.
    """
    lists = _Lists()
    for tree, pieces in zip(trees, cuts, strict=True):
        if not (tree.node_count > 0).all():
            raise ModelsError("a tree has a node that no training row passed; train it anew")
        if not len(tree.left):
            lists.base += float(tree.leaf_value[0])
        for piece in pieces:
            lists.add_piece(tree, piece)
    sizes = [piece.width << piece.bits for pieces in cuts for piece in pieces]
    categories = [known for tree in trees for known in _categories(tree)]
    sets = [codes for codes in categories if codes is not None]
    numbers = iter(range(len(sets)))
    plan = Plan(
        node_feature=_joined([tree.feature for tree in trees], np.int64),
        node_threshold=_joined([tree.threshold for tree in trees], np.float64),
        node_zero_left=_joined([tree.zero_left for tree in trees], np.uint8),
        node_missing_left=_joined([tree.missing_left for tree in trees], np.uint8),
        node_categories=np.array(
            [-1 if codes is None else next(numbers) for codes in categories], dtype=np.int64
        ),
        category_starts=_starts(len(codes) for codes in sets),
        category_left=_joined(sets, np.uint8),
        tree_nodes=_starts(len(tree.left) for tree in trees),
        tree_pieces=_starts(len(pieces) for pieces in cuts),
        piece_bits=_starts(lists.bits),
        bit_conditions=_starts(lists.conditions),
        condition_node=np.array(lists.condition_node, dtype=np.int64),
        condition_right=np.array(lists.condition_right, dtype=np.uint8),
        piece_slots=_starts(lists.slots),
        slot_feature=np.array(lists.slot_feature, dtype=np.int64),
        piece_table=_starts(sizes),
        table=np.zeros(sum(sizes)),
    )
    leaves = Leaves(
        piece_leaves=_starts(lists.leaves),
        leaf_terms=_starts(lists.terms),
        leaf_value=np.array(lists.leaf_value, dtype=np.float64),
        term_slot=np.array(lists.term_slot, dtype=np.int64),
        term_mask=np.array(lists.term_mask, dtype=np.int64),
        term_expected=np.array(lists.term_expected, dtype=np.int64),
        term_share=np.array(lists.term_share, dtype=np.float64),
    )
    fill_tables(plan, leaves, *_quadrature())
    return Tables(plan, lists.base, max((len(tree.left) for tree in trees), default=0))


def _categories(tree: Tree) -> list[NDArray[np.bool_] | None]:
    return [tree.categories.get(node) for node in range(len(tree.left))]


def _starts(counts: Iterable[int]) -> NDArray[np.int64]:
    return np.array([0, *accumulate(counts)], dtype=np.int64)


def _joined(arrays: Sequence[NDArray[Any]], dtype: type[_Number]) -> NDArray[_Number]:
    return np.concatenate([np.empty(0, dtype), *(array.astype(dtype) for array in arrays)])


def _quadrature() -> tuple[Array, Array]:
    """Gauss-Legendre times and weights on [0, 1], a row for each number of terms."""
    most = (MOST_BITS + 1) // 2
    times, weights = np.zeros((MOST_BITS + 1, most)), np.zeros((MOST_BITS + 1, most))
    for terms in range(1, MOST_BITS + 1):
        count = (terms + 1) // 2
        nodes, weight = np.polynomial.legendre.leggauss(count)
        times[terms, :count], weights[terms, :count] = (nodes + 1) / 2, weight / 2
    return times, weights
