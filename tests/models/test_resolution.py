"""The hazard model by hand: products of probabilities, and what it refuses to say."""

import math

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from models.errors import ScoringError
from models.linear import CodedColumn, LinearPart
from models.resolution import ResolutionModel

EFFECTS = LinearPart(
    intercept=0.0,
    columns=(CodedColumn(feature="secured", code="rank", knots=(0.0, 1.0), weight=0.7),),
)
MODEL = ResolutionModel(
    interval_ends_months=(3, 6, 12), baseline=(-2.0, -1.0, 0.5), effects=EFFECTS
)
LOANS = pl.DataFrame({"secured": [0.0, 1.0]})


def open_still(own: float, intervals: int) -> float:
    still = 1.0
    for logit in (-2.0, -1.0, 0.5)[:intervals]:
        still *= 1 - 1 / (1 + math.exp(-(logit + own)))
    return still


def test_share_is_one_less_the_product_of_staying_open() -> None:
    shares = MODEL.share_resolved(LOANS, (0, 3, 6, 12))
    for row, own in enumerate((0.0, 0.7)):
        expected = [1 - open_still(own, n) for n in range(4)]
        assert shares[row] == pytest.approx(expected, abs=1e-12)


def test_share_rises_evenly_within_an_interval() -> None:
    six, eight, twelve = MODEL.share_resolved(LOANS, (6, 8, 12)).T
    np.testing.assert_allclose(eight, six + (twelve - six) / 3)


def test_share_never_falls() -> None:
    months = tuple(range(13))
    shares = MODEL.share_resolved(LOANS, months)
    assert shares.shape == (2, 13)
    assert (np.diff(shares, axis=1) >= 0).all()
    assert ((shares >= 0) & (shares <= 1)).all()


@pytest.mark.parametrize("months", [13, -1])
def test_outside_the_observed_span_it_says_so(months: int) -> None:
    with pytest.raises(ScoringError, match=f"month {months} .*up to month 12"):
        MODEL.share_resolved(LOANS, (6, months))


def test_no_loans_and_no_horizons_are_empty_tables() -> None:
    assert MODEL.share_resolved(LOANS.head(0), (6,)).shape == (0, 1)
    assert MODEL.share_resolved(LOANS, ()).shape == (2, 0)


def test_document_round_trip_changes_no_bit() -> None:
    again = ResolutionModel.model_validate_json(MODEL.model_dump_json())
    assert again == MODEL
    np.testing.assert_array_equal(
        again.share_resolved(LOANS, (3, 7)), MODEL.share_resolved(LOANS, (3, 7))
    )


@pytest.mark.parametrize(
    ("ends", "baseline", "complaint"),
    [((), (), "must rise"), ((6, 3), (0.0, 0.0), "must rise"), ((3, 6), (0.0,), "as many")],
)
def test_inconsistent_documents_are_refused(
    ends: tuple[int, ...], baseline: tuple[float, ...], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ResolutionModel(interval_ends_months=ends, baseline=baseline, effects=EFFECTS)
