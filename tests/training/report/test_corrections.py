"""Corrections are fitted on the past and proven on what came later, for good or ill."""

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from training.backtest import Backtest
from training.report.build import build_report
from training.report.sections.correction import CANDIDATE

Made = Callable[..., Backtest]
GUANGDONG = pl.col("region") == "CN-GD"


def test_a_bias_is_flagged_in_its_segment_alone_and_mostly_removed(
    backtest_of: Made, loans: pl.DataFrame
) -> None:
    biased = loans.with_columns(
        actual=pl.when(GUANGDONG).then(pl.col("actual") * 0.8).otherwise("actual")
    )
    found = build_report(backtest_of(biased))
    flagged = [
        (d.dimension, s.level) for d in found.segments.dimensions for s in d.segments if s.flagged
    ]
    assert flagged == [("region", "CN-GD")]
    (proof,) = found.corrections.proofs
    assert (proof.state, proof.conditions) == (CANDIDATE, {"region": "CN-GD"})
    assert proof.fitted_until < proof.vintages_from
    assert found.corrections.fitted_before == proof.vintages_from
    assert proof.deviation_before == pytest.approx(-0.2, abs=0.03)
    assert proof.removed_rate is not None
    assert proof.removed_rate > 0.7
    assert proof.harm is False
    assert next(s for s in found.summary if s.topic == "correction").light == "amber"


def test_a_bias_that_went_away_makes_its_correction_harmful(
    backtest_of: Made, loans: pl.DataFrame
) -> None:
    early = pl.col("vintage_date") < date(2019, 1, 1)
    biased = loans.with_columns(
        actual=pl.when(GUANGDONG & early).then(pl.col("actual") * 0.7).otherwise("actual")
    )
    (proof,) = build_report(backtest_of(biased)).corrections.proofs
    assert proof.harm is True
    assert proof.deviation_after is not None
    assert proof.deviation_after > 0.2


def test_a_short_past_proposes_nothing(backtest_of: Made, loans: pl.DataFrame) -> None:
    recent = loans.filter(pl.col("vintage_date") >= date(2021, 1, 1))
    found = build_report(backtest_of(recent)).corrections
    assert (found.fitted_before, found.proofs, found.light) == (None, (), "green")
