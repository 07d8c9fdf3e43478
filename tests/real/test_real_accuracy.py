"""Out-of-time floors on the real files, from `docs/accuracy.md`, with settings held fixed."""

from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from features.portfolio import Portfolio, read_portfolio, write_portfolio
from features.sources import lending_club, sba_7a, us_mortgage
from training.evaluation import compare, held_out
from training.fit import fit_recovery
from training.holdout import Holdout, hold_out
from training.metrics import Accuracy, accuracy
from training.settings import FitSettings


def _portfolio(source: ModuleType, name: str, data: Path, folder: Path) -> Portfolio:
    (raw,) = data.glob(f"{name}_*.parquet")
    result = source.read(raw)
    write_portfolio(folder, result.meta, result.tape, result.ledger)
    return read_portfolio(folder)


def _accuracy(split: Holdout, settings: FitSettings) -> Accuracy:
    model = fit_recovery(split.train, settings)
    judged, actual = held_out(split.test, split.horizon_months)
    return accuracy(actual, model.recovery_rate(judged.features), judged.ead)


def test_lending_club_issue_year_2010(npl_data: Path, tmp_path: Path) -> None:
    portfolio = _portfolio(lending_club, "lending_club", npl_data, tmp_path / "p")
    split = hold_out(portfolio, date(2010, 1, 1), "origination_date")
    model = fit_recovery(split.train, FitSettings("shallow", 0.5))
    judged = {one.name: one.accuracy for one in compare(model, split.train, split.test)}
    ours = judged["npl-recovery"]
    assert ours.loans == 1_757
    assert ours.r2 > judged["overall mean"].r2
    assert ours.spearman >= 0.28
    assert abs(ours.deviation) <= 0.05
    for rival in ("random forest", "LightGBM, defaults"):
        assert ours.rmse < judged[rival].rmse


@pytest.mark.parametrize(
    ("start", "end", "r2"),
    [(date(2010, 1, 1), date(2011, 1, 1), 0.665), (date(2011, 1, 1), None, 0.68)],
)
def test_sba_by_charge_off_year(
    npl_data: Path, tmp_path: Path, start: date, end: date | None, r2: float
) -> None:
    portfolio = _portfolio(sba_7a, "sba_7a", npl_data, tmp_path / "p")
    ours = _accuracy(hold_out(portfolio, start, end=end), FitSettings("deep", 0.0))
    assert ours.r2 >= r2
    assert ours.mae <= 0.098


@pytest.mark.parametrize("hindsight", [False, True])
def test_mortgage_defaults_from_period_36(npl_data: Path, tmp_path: Path, hindsight: bool) -> None:
    portfolio = _portfolio(us_mortgage, "us_mortgage", npl_data, tmp_path / "p")
    split = hold_out(portfolio, date(2009, 1, 1), hindsight=hindsight)
    ours = _accuracy(split, FitSettings("shallow", 0.5))
    assert ours.loans == 281
    assert ours.rmse <= 0.293
    assert ours.spearman >= 0.29
