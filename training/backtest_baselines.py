"""Accuracy of each fold of a backtest beside the baselines of its own time."""

from typing import Any, Final

import polars as pl

from models.recovery import RecoveryModel
from training.backtest_features import Judging, known_rates
from training.dataset import TrainingSet
from training.evaluation import RIVALS, compare
from training.holdout import JUDGED_MONTHS
from training.labels import MIN_OUTCOMES

# A forest takes longer than all the rest of a backtest; docs/accuracy.md has it beside the model.
_LEFT_OUT: Final = ("random forest",)
_LEAST_JUDGED: Final = 30


def judging(train: TrainingSet, test: TrainingSet, model: RecoveryModel) -> Judging | None:
    """Horizon at which a fold can be judged; None where none has enough loans on both sides.

    Dated cash at the longest of `training.holdout.JUDGED_MONTHS`, other outcomes ultimately.
    """
    dated = train.meta.recovery_timing == "monthly"
    for months in JUDGED_MONTHS if dated else (None,):
        if months is not None and months not in model.horizons_months:
            continue
        sides = known_rates(train, months), known_rates(test, months)
        if sides[0] >= MIN_OUTCOMES and sides[1] >= _LEAST_JUDGED:
            return Judging(train, test, months)
    return None


def baseline_rows(fold: int, model: RecoveryModel, judged: Judging) -> list[dict[str, Any]]:
    """Out-of-time accuracy of the model and of every baseline on a fold; undefined ones None."""
    rivals = {name: fit for name, fit in RIVALS.items() if name not in _LEFT_OUT}
    found = compare(model, judged.train, judged.test, judged.horizon_months, rivals)
    return [
        {"fold": fold, "model": one.name}
        | {name: None if value != value else value for name, value in one.accuracy.as_row().items()}
        | {"horizon_months": judged.horizon_months}
        for one in found
    ]


def baseline_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of all folds as a frame."""
    return pl.DataFrame(
        rows,
        schema_overrides={"fold": pl.Int32, "horizon_months": pl.Int32},
        infer_schema_length=None,
    )
