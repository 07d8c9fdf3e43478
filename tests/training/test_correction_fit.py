"""Credibility against published figures; a planted bias found early and mended later."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from features.segments import AGE_BANDS, exposure_band
from models.correction_book import CorrectionBook
from training.backtest_schema import Backtest, check_backtest
from training.correction_fit import FitPlan, Origin, buehlmann_straub, propose_corrections
from training.errors import TrainingError
from training.validation.segment_deviations import segment_deviations

# Hachemeister (1975), Credibility for regression models with application to trend: mean claims and
# their numbers, five states by twelve quarters; as the R package actuar carries them.
CLAIMS = [
    [1738, 1642, 1794, 2051, 2079, 2234, 2032, 2035, 2115, 2262, 2267, 2517],
    [1364, 1408, 1597, 1444, 1342, 1675, 1470, 1448, 1464, 1831, 1612, 1471],
    [1759, 1685, 1479, 1763, 1674, 2103, 1502, 1622, 1828, 2155, 2233, 2059],
    [1223, 1146, 1010, 1257, 1426, 1532, 1953, 1123, 1343, 1243, 1762, 1306],
    [1456, 1499, 1609, 1741, 1482, 1572, 1606, 1735, 1607, 1573, 1613, 1690],
]
NUMBERS = [
    [7861, 9251, 8706, 8575, 7917, 8263, 9456, 8003, 7365, 7832, 7849, 9077],
    [1622, 1742, 1523, 1515, 1622, 1602, 1964, 1515, 1527, 1748, 1654, 1861],
    [1147, 1357, 1329, 1204, 998, 1077, 1277, 1218, 896, 1003, 1108, 1121],
    [407, 396, 348, 341, 315, 328, 352, 331, 287, 384, 321, 342],
    [2902, 3172, 3046, 3068, 2693, 2910, 3275, 2697, 2663, 3017, 3242, 3425],
]
ORIGIN = Origin("hash", "m1", "Li Wei", "planted", date(2020, 1, 1))
PROVINCES = 8
BEFORE = date(2018, 1, 1)


def test_hachemeisters_states_come_out_as_published() -> None:
    found = buehlmann_straub(
        np.repeat(np.arange(5), 12),
        np.ravel(CLAIMS).astype(np.float64),
        np.ravel(NUMBERS).astype(np.float64),
    )
    # As the package's cm(~state) prints it: Goulet et al., Credibility theory features of actuar.
    assert found.collective == pytest.approx(1684, abs=0.5)
    assert found.between == pytest.approx(89_639, abs=0.5)
    assert found.within == pytest.approx(139_120_026, abs=0.5)
    np.testing.assert_array_equal(found.weights, [100_155, 19_895, 13_735, 4_152, 36_110])
    np.testing.assert_allclose(found.means, [2061, 1511, 1806, 1353, 1600], atol=0.5)
    np.testing.assert_allclose(found.factors, [0.9847, 0.9276, 0.8985, 0.7279, 0.9588], atol=5e-5)
    np.testing.assert_allclose(found.estimates, [2055, 1524, 1793, 1443, 1603], atol=0.5)


def test_the_estimators_find_the_variances_of_the_model() -> None:
    rng = np.random.default_rng(40)
    within, between = [], []
    segment = np.repeat(np.arange(10), 6)
    for _ in range(400):
        weight = rng.lognormal(0, 0.7, 60)
        mean = rng.normal(1, 0.3, 10)
        ratio = mean[segment] + rng.normal(0, 1, 60) * np.sqrt(0.2 / weight)
        found = buehlmann_straub(segment, ratio, weight, collective=1.0)
        within.append(found.within)
        between.append(found.between)
    assert np.mean(within) == pytest.approx(0.2, rel=0.05)
    assert np.mean(between) == pytest.approx(0.09, rel=0.1)


def test_segments_that_differ_by_chance_have_no_credibility() -> None:
    ratio = np.array([0.9, 1.1, 1.1, 0.9])
    found = buehlmann_straub(np.array([0, 0, 1, 1]), ratio, np.ones(4))
    assert found.between == 0
    np.testing.assert_array_equal(found.factors, 0)
    np.testing.assert_allclose(found.estimates, 1)
    with pytest.raises(TrainingError, match="two periods"):
        buehlmann_straub(np.array([0, 1]), ratio[:2], np.ones(2))
    with pytest.raises(TrainingError, match="two segments"):
        buehlmann_straub(np.array([0, 0]), ratio[:2], np.ones(2))


def backtest(
    seed: int, bias: float, loans: int = 24_000, onset: date = date(2016, 1, 1)
) -> pl.DataFrame:
    """Forecasts right on average, but for one province from one vintage on."""
    rng = np.random.default_rng(seed)
    quarter = rng.integers(0, 16, loans)
    days = np.array([f"{2015 + q // 4}-{1 + 3 * (q % 4):02d}-15" for q in range(16)])
    vintage = days[quarter].astype("datetime64[D]")
    province = rng.integers(0, PROVINCES, loans)
    ead, rate = rng.lognormal(11, 0.8, loans), rng.beta(3, 5, loans)
    # What a quarter does to every loan alike.
    luck = np.exp(rng.normal(0, 0.03, 16))[quarter]
    actual = rng.beta(8 * rate, 8 * (1 - rate)) * luck
    biased = (province == 3) & (vintage >= np.datetime64(onset))
    return pl.DataFrame(
        {
            "loan_id": [f"L{n}" for n in range(loans)],
            "reference_date": vintage,
            "cut_off_date": vintage,
            "vintage": vintage,
            "horizon_months": pl.Series([None] * loans, dtype=pl.Int32),
            "ead_amount": ead,
            "forecast_rate": rate * np.where(biased, 1 + bias, 1),
            "actual_rate": actual,
            "asset_class": np.array(["sme", "auto", "consumer"])[rng.integers(0, 3, loans)],
            "region": [f"CN-{n}" for n in province],
            "months_since_default": rng.uniform(0, 100, loans),
            "exposure_band": pl.Series(ead),
            "guarantee": ["credit"] * loans,
            "is_resolved": [True] * loans,
        }
    ).with_columns(exposure_band=exposure_band(pl.col("exposure_band")))


def plan(**changed: Any) -> FitPlan:
    fields: dict[str, Any] = {
        "dimensions": ("region",), "before": BEFORE, "first_vintage": date(2016, 1, 1),
    }  # fmt: skip
    return FitPlan(**(fields | changed))


def cash(table: pl.DataFrame, factor: float = 1.0) -> tuple[NDArray[Any], NDArray[Any]]:
    ead = table["ead_amount"]
    return (ead * table["actual_rate"]).to_numpy(), (
        factor * ead * table["forecast_rate"]
    ).to_numpy()


def test_a_planted_bias_is_flagged_and_mostly_gone_on_later_vintages() -> None:
    removed = []
    for seed in range(4):
        table = backtest(seed, 0.15, loans=48_000)
        proposals = propose_corrections(table, plan(), ORIGIN)
        assert [p.conditions for p in proposals] == [{"region": "CN-3"}]
        (found,) = proposals
        later = table.filter(pl.col("vintage") >= BEFORE, region="CN-3")
        others = table.filter(pl.col("vintage") >= BEFORE, pl.col("region") != "CN-3")
        # The quarters' luck is everybody's: measured on the other provinces.
        actual, forecast = cash(others)
        luck = actual.sum() / forecast.sum()
        before = 1 - np.divide(*(x.sum() for x in cash(later))) / luck
        after = 1 - np.divide(*(x.sum() for x in cash(later, found.factor))) / luck
        removed.append(1 - abs(after) / abs(before))
        assert found.vintages_from == BEFORE
        assert found.evidence.last_vintage < BEFORE
        assert found.evidence.ratio_low is not None
        assert found.evidence.ratio_low < 1 / 1.15 < (found.evidence.ratio_high or 0)
        # Drawn towards 1, never beyond the raw ratio.
        assert found.evidence.ratio < found.factor < 1
    assert np.mean(removed) >= 0.7


def test_the_report_flags_that_province_and_nothing_else() -> None:
    flagged = 0
    for seed in range(8):
        later = backtest(seed, 0.15).filter(pl.col("vintage") >= date(2016, 1, 1))
        table = segment_deviations(
            later, ["region", "asset_class", "exposure_band"], cluster="vintage"
        )
        for dimension, part in table.group_by("dimension"):
            assert part["loans"].sum() == later.height, dimension
            assert part["ead_amount"].sum() == pytest.approx(later["ead_amount"].sum())
        found = table.filter("flagged")
        assert "CN-3" in found["level"].to_list()
        flagged += found.height - 1
        row = table.filter(level="CN-3").row(0, named=True)
        assert row["deviation_rate"] < 0
        assert row["difference_rate"] == pytest.approx(1 / 1.15 - 1, abs=0.07)
    assert flagged <= 1


def test_where_nothing_is_wrong_nothing_is_proposed() -> None:
    proposed = [len(propose_corrections(backtest(s, 0.0), plan(), ORIGIN)) for s in range(50, 62)]
    assert sum(n > 0 for n in proposed) <= 2


def test_what_was_known_later_changes_no_proposal() -> None:
    table = backtest(1, 0.15)
    future = pl.col("vintage") >= BEFORE
    changed = table.with_columns(
        actual_rate=pl.when(future).then(0.0).otherwise("actual_rate"),
        region=pl.when(future).then(pl.lit("CN-9")).otherwise("region"),
    )
    assert propose_corrections(changed, plan(), ORIGIN) == propose_corrections(
        table, plan(), ORIGIN
    )
    # A horizon that was not over by the day is the future too.
    months = table.with_columns(horizon_months=pl.lit(12, dtype=pl.Int32))
    (found,) = propose_corrections(months, plan(horizon_months=12), ORIGIN)
    assert found.evidence.last_vintage == date(2016, 10, 15)
    shuffled = months.sample(fraction=1, shuffle=True, seed=3)
    assert propose_corrections(shuffled, plan(horizon_months=12), ORIGIN) == [found]


def test_the_original_forecast_counts_once_a_loan() -> None:
    table = backtest(2, 0.15)
    again = table.with_columns(pl.col("reference_date").dt.offset_by("1y"), forecast_rate=0.9)
    twice = pl.concat([again, table])
    assert propose_corrections(twice, plan(), ORIGIN) == propose_corrections(table, plan(), ORIGIN)


def test_combinations_and_age_bands_are_segments_too() -> None:
    table = backtest(2, 0.3)
    both = propose_corrections(table, plan(dimensions=("region", "asset_class")), ORIGIN)
    assert {p.conditions["region"] for p in both} == {"CN-3"}
    assert {p.conditions["asset_class"] for p in both} == {"sme", "auto", "consumer"}
    assert CorrectionBook().propose(both).version
    # 30% in one of eight provinces is 4% of the cash of every age.
    ages = propose_corrections(table, plan(dimensions=("age_band",)), ORIGIN)
    assert ages
    assert {p.conditions["age_band"] for p in ages} <= set(AGE_BANDS)
    assert all(0.92 < p.factor < 1 for p in ages)


def test_what_cannot_be_fitted_is_said() -> None:
    table = backtest(4, 0.15, loans=500)
    with pytest.raises(TrainingError, match="no dimension colour"):
        propose_corrections(table, plan(dimensions=("colour",)), ORIGIN)
    with pytest.raises(TrainingError, match="no outcome at 24 months was known before"):
        propose_corrections(table, plan(horizon_months=24), ORIGIN)
    # Thin segments are never corrected.
    assert propose_corrections(backtest(4, 0.9, loans=300), plan(), ORIGIN) == []


def test_the_table_is_checked_by_its_schema() -> None:
    table = backtest(5, 0.0, loans=100)
    assert check_backtest(table, "t").columns == list(Backtest.columns())
    with pytest.raises(TrainingError, match="t: no columns region"):
        check_backtest(table.drop("region"), "t")
    with pytest.raises(TrainingError, match="one_row_a_loan"):
        check_backtest(pl.concat([table, table]), "t")
    with pytest.raises(TrainingError, match="ead_amount"):
        check_backtest(table.with_columns(ead_amount=0.0), "t")
