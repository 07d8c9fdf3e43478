"""Two runs held side by side on the loans that both have."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from models.backtest_files import DOCUMENT
from training.backtest import Backtest
from training.errors import TrainingError
from training.report.build import build_report
from training.report.compare import compare_runs

Made = Callable[..., Backtest]


@pytest.fixture(scope="module")
def runs(
    backtest_of: Made, loans: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    few = loans.head(400)
    better = few.tail(300).with_columns(
        forecast=pl.col("forecast") + 0.5 * (pl.col("actual") - pl.col("forecast"))
    )
    other = few.with_columns(ead_amount=pl.col("ead_amount") * 2)
    root = tmp_path_factory.mktemp("runs")
    for name, held in {"first": few, "better": better, "other": other}.items():
        found = backtest_of(held)
        (root / name).mkdir()
        found.forecasts.write_parquet(root / name / "forecasts.parquet")
        (root / name / DOCUMENT).write_text(build_report(found).text(), encoding="utf-8")
    return {name: root / name for name in ("first", "better", "other")}


def test_what_is_better_is_told_on_the_loans_of_both(
    runs: dict[str, Path], loans: pl.DataFrame
) -> None:
    found = compare_runs(runs["first"], runs["better"])
    assert (found.first_loans, found.second_loans, found.paired_loans) == (400, 300, 300)
    both = loans.head(400).tail(300)
    mae = float((both["actual"] - both["forecast"]).abs().mean())  # type: ignore[arg-type]
    # Half of each miss is mended.
    assert found.gains["MAE"].gain == pytest.approx(mae / 2)
    assert found.gains["MAE"].beyond_noise


def test_unlike_runs_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="400 such loans"):
        compare_runs(runs["first"], runs["other"])
    with pytest.raises(TrainingError, match=r"give a report\.json"):
        compare_runs(runs["first"], tmp_path)
