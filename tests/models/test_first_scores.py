"""First scores in service: sound packages stay, wrong units are taken back."""

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from models.first_scores import ExpectedScores, leaves_range
from models.recovery import RecoveryModel
from models.scoring import score_loans


@pytest.fixture(scope="module")
def scored(simulated: Portfolio, dated_model: RecoveryModel) -> pl.DataFrame:
    scores = score_loans(dated_model, simulated.tape, simulated.ledger)
    facts = simulated.tape.select(
        "loan_id", "package_id", asset_class=pl.col("asset_class").cast(pl.String)
    )
    return scores.select("loan_id", "recovery_rate").join(facts.collect(), on="loan_id")


@pytest.fixture(scope="module")
def expected(scored: pl.DataFrame) -> ExpectedScores:
    return ExpectedScores.of(scored["recovery_rate"].to_numpy(), scored["asset_class"])


def test_sound_packages_are_as_expected(scored: pl.DataFrame, expected: ExpectedScores) -> None:
    assert len(expected.by_class) >= 5
    for package in scored.partition_by("package_id"):
        rates = package["recovery_rate"].to_numpy()
        assert leaves_range(expected, rates, package["asset_class"]) is None


def test_a_document_holds_them(expected: ExpectedScores) -> None:
    assert ExpectedScores.model_validate_json(expected.model_dump_json()) == expected


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rates: rates * 100, "lie outside"),
        (lambda rates: np.full(len(rates), rates.max()), "lie in fifth 5"),
        (lambda rates: np.full(len(rates), np.median(rates)), "lie in fifth 3"),
        (lambda rates: rates * 0.4, "lie in fifths 1 and 2"),
    ],
)
def test_scores_elsewhere_are_told(
    scored: pl.DataFrame, expected: ExpectedScores, change: object, told: str
) -> None:
    own = scored.filter(pl.col("asset_class") == "consumer")
    assert callable(change)
    why = leaves_range(expected, change(own["recovery_rate"].to_numpy()), own["asset_class"])
    assert why is not None
    assert told in why


def test_loans_without_a_forecast_or_an_expected_class_are_not_looked_at(
    expected: ExpectedScores,
) -> None:
    rates = np.array([np.nan, 50.0])
    assert leaves_range(expected, rates, pl.Series(["consumer", "yacht"])) is None


def test_a_few_odd_loans_take_no_model_back(expected: ExpectedScores) -> None:
    odd = np.array([50.0, 50.0, 50.0])
    assert leaves_range(expected, odd, pl.Series(["consumer"] * 3)) is None
    four = np.array([50.0, 50.0, 50.0, 50.0])
    why = leaves_range(expected, four, pl.Series(["consumer"] * 4))
    assert why is not None
    assert why.startswith("4 of 4 forecasts of consumer lie outside")
