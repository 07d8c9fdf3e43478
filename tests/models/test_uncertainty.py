"""How sure a model is, where it is read: scores, packages, bundles."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from models.bundle import Bundle, Provenance, read_bundle, write_bundle
from models.intervals import RateDistribution, RateGroup
from models.package import value_package
from models.package_distribution import SharedRisk
from models.recovery import RecoveryModel
from models.scoring import score_loans
from models.uncertainty import Uncertainty

# Two bins of forecast: the rate is even between nothing and twice the forecast.
RATES = RateDistribution(
    horizon_months=None,
    probabilities=(0.0, 0.5, 1.0),
    groups={
        "": RateGroup(
            loans=(100, 100),
            forecast=(0.0, 1.0),
            mean=(0.0, 1.0),
            deviation_sd=(0.0, 0.5),
            nothing=(0.9, 0.1),
            quantiles=((0.0, 0.0, 0.0), (0.0, 1.0, 2.0)),
        )
    },
    pooled_classes={},
)
UNCERTAINTY = Uncertainty(
    rates=RATES,
    shared=SharedRisk(vintage_months=12, vintages=9, vintage_sd=0.2, region_sd=0.0),
    vintage_by="cut_off_date",
)


@pytest.fixture(scope="module")
def model(dated_model: RecoveryModel) -> RecoveryModel:
    return replace(dated_model, uncertainty=UNCERTAINTY)


@pytest.fixture(scope="module")
def scores(model: RecoveryModel, simulated: Portfolio) -> pl.DataFrame:
    return score_loans(model, simulated.tape, simulated.ledger)


def test_scores_carry_the_quantiles_of_their_forecast(scores: pl.DataFrame) -> None:
    rate = scores["recovery_rate"]
    for name, factor in (("p10", 0.2), ("p50", 1.0), ("p90", 1.8)):
        np.testing.assert_allclose(scores[f"recovery_rate_{name}"], factor * rate, atol=1e-12)
    np.testing.assert_allclose(scores["probability_of_nothing"], 0.9 - 0.8 * rate, atol=1e-12)
    # Mean of the worst tenth of an even law from 0 to twice the forecast.
    np.testing.assert_allclose(scores["expected_shortfall_rate"], 0.1 * rate, atol=1e-9)


def test_a_horizon_short_of_the_ultimate_is_read_and_said(
    model: RecoveryModel, simulated: Portfolio
) -> None:
    early = UNCERTAINTY.model_copy(
        update={"rates": RATES.model_copy(update={"horizon_months": 12})}
    )
    scores = score_loans(replace(model, uncertainty=early), simulated.tape, simulated.ledger)
    np.testing.assert_allclose(scores["recovery_rate_p50"], scores["recovery_rate_12m"])
    last = UNCERTAINTY.model_copy(update={"rates": RATES.model_copy(update={"horizon_months": 60})})
    assert replace(model, uncertainty=last).uncertain_months is None


def test_a_package_has_the_spread_of_what_its_loans_share(
    model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    tape = simulated.tape.collect()
    newest = tape.filter(pl.col("snapshot_date").dt.year() == date(2024, 1, 1).year)
    own = scores.filter(pl.col("loan_id").is_in(newest["loan_id"].implode()))
    valuation = value_package(own, newest, model, simulated.meta)
    spread = valuation.spread
    assert spread is not None
    assert spread.forecast_amount == pytest.approx(valuation.expected_recovery_amount)
    # One vintage: a fifth of the total is shared, and a few hundred loans have noise of their own.
    assert spread.deviation_p90 > 1.2816 * 0.2
    assert spread.p10_amount < spread.p50_amount < spread.p90_amount
    again = value_package(own, newest, model, simulated.meta).spread
    assert again == spread


def test_without_a_shared_part_there_is_no_spread_and_it_is_said(
    model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    alone = replace(model, uncertainty=UNCERTAINTY.model_copy(update={"shared": None}))
    valuation = value_package(scores, simulated.tape.collect(), alone, simulated.meta)
    assert valuation.spread is None
    assert any(said.startswith("P10 and P90 of the total") for said in valuation.left_out)


def test_it_travels_in_the_bundle(
    model: RecoveryModel, simulated: Portfolio, tmp_path: Path
) -> None:
    bundle = Bundle(
        model=replace(
            model,
            uncertainty=UNCERTAINTY.model_copy(
                update={"rates": RATES.model_copy(update={"horizon_months": 24})}
            ),
        ),
        portfolio=simulated.meta,
        provenance=Provenance(
            data_hash="0" * 64, git_commit=None, versions={}, known_on="2024-12-31", settings={}
        ),
        accuracy=[],
        caveats=("what could not be told",),
    )
    write_bundle(tmp_path / "b", bundle)
    again = read_bundle(tmp_path / "b")
    assert again == bundle
    assert again.notes[-2].endswith("are of the rate by month 24, not of the ultimate.")
    assert again.notes[-1] == "what could not be told"
