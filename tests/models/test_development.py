"""The development pattern: looked up by segment, refused where it is none."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from features.tape import LEGAL_STAGES
from models.development import DevelopmentPattern, development_segments

PATTERN = DevelopmentPattern(
    horizons_months=(6, 12),
    overall=(0.4, 1.0),
    by_segment={"sme": (0.2, 1.0), "sme/secured/judged": (0.7, 1.0)},
)


def test_a_segment_has_its_own_shares_and_an_unseen_one_those_of_all() -> None:
    frame = pl.DataFrame(
        {
            "asset_class": ["sme", "sme", "card", None],
            "appraised_value": [None, 5.0, None, None],
            "legal_stage": pl.Series([None, "judged", "judged", None], dtype=pl.Enum(LEGAL_STAGES)),
        }
    )
    segments = development_segments(frame).to_list()
    assert segments == ["sme", "sme/secured/judged", "card/judged", ""]
    np.testing.assert_array_equal(PATTERN.shares(frame)[:, 0], [0.2, 0.7, 0.4, 0.4])
    np.testing.assert_array_equal(PATTERN.shares(frame)[:, 1], np.ones(4))


def test_what_a_tape_does_not_carry_does_not_divide_it() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert development_segments(frame).to_list() == ["", "", ""]
    assert development_segments(frame.head(0)).to_list() == []
    np.testing.assert_array_equal(PATTERN.shares(frame)[:, 0], [0.4] * 3)


@pytest.mark.parametrize("shares", [(0.6, 0.5, 1.0), (0.5, 0.9), (-0.1, 1.0), (0.5, 1.0, 1.0)])
def test_shares_must_rise_to_one(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="must rise from 0 to 1 over 2 horizons"):
        DevelopmentPattern(horizons_months=(6, 12), overall=shares, by_segment={})
