"""The largest-remainder rule against its printed example and against what must hold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.rounding import apportion


def test_seats_by_hamilton_s_rule() -> None:
    # 100 seats, votes of 47,000, 16,000, 15,800, 12,000, 6,100 and 3,100: the textbook example.
    votes = np.array([47_000, 16_000, 15_800, 12_000, 6_100, 3_100])
    assert apportion(votes / 1_000, 100).tolist() == [47, 16, 16, 12, 6, 3]
    assert apportion(votes / 10_000, 10).tolist() == [5, 2, 1, 1, 1, 0]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_parts_add_up_and_none_moves_by_one(parts: list[float]) -> None:
    exact = np.array(parts)
    total = int(np.rint(exact.sum()))
    found = apportion(exact, total)
    assert found.sum() == total
    assert (np.abs(found - exact) < 1 + 1e-6).all()


def test_every_row_is_rounded_by_itself() -> None:
    parts = np.random.default_rng(0).normal(0, 30, (50, 7))
    totals = np.rint(parts.sum(axis=1)).astype(np.int64)
    found = apportion(parts, totals)
    for row, total, whole in zip(parts, totals, found, strict=True):
        assert whole.tolist() == apportion(row, total).tolist()
    assert apportion(np.empty((0, 3)), np.empty(0, dtype=np.int64)).shape == (0, 3)
