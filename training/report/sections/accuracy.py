"""Accuracy of the walk-forward forecasts, by loan and by money, beside every baseline."""

from typing import Any, Final

import numpy as np
import polars as pl

from training.report.blocks import Block, Column, Table, Text
from training.report.cash import clusters_of
from training.report.part import Light, Part, worst
from training.report.subject import Subject
from training.report.words import Words
from training.validation.accuracy import accuracy_figures

OURS: Final = "npl-recovery"
_FIGURES: Final = ("r2", "mae", "rmse", "spearman", "deviation")


class Measure(Part):
    """A figure with its 95% bootstrap interval."""

    name: str
    weighted_by: str
    value: float | None
    low: float | None
    high: float | None


class Rival(Part):
    """The model or a baseline, over the folds both were judged on; means weighted by loans."""

    model: str
    folds: int
    loans: int
    r2: float | None
    mae: float
    rmse: float
    spearman: float | None
    deviation: float


class Accuracy(Part):
    """Accuracy of the headline's forecasts."""

    measures: tuple[Measure, ...]
    rivals: tuple[Rival, ...]
    light: Light | None


def figures(subject: Subject) -> Accuracy:
    """Accuracy of the headline, and of baselines on the folds' held-out loans."""
    judged = subject.judged
    actual, forecast = judged["actual"].to_numpy(), judged["forecast"].to_numpy()
    ead = judged["ead_amount"].to_numpy()
    _, clusters = clusters_of(judged)
    measures = [
        Measure(name=name, weighted_by=by, value=f.value, low=f.interval.low, high=f.interval.high)
        for by, weight in (("loan", np.ones_like(ead)), ("ead", ead))
        for name, f in accuracy_figures(actual, forecast, weight, clusters).items()
    ]
    rivals = _rivals(subject.backtest.baselines)
    return Accuracy(
        measures=tuple(measures),
        rivals=rivals,
        light=worst([_beside(rivals), _plausible(measures[0].value, subject.thresholds.leak_r2)]),
    )


def _rivals(rows: pl.DataFrame) -> tuple[Rival, ...]:
    """Mean of each figure over the folds, weighted with their loans, in the order they come."""
    if rows.is_empty():
        return ()
    weighted = [
        ((pl.col(name).fill_nan(None) * pl.col("loans")).sum() / pl.col("loans").filter(
            pl.col(name).fill_nan(None).is_not_null()).sum()).alias(name)
        for name in _FIGURES
    ]  # fmt: skip
    pooled = rows.group_by("model", maintain_order=True).agg(
        pl.len().alias("folds"), pl.col("loans").sum().alias("judged"), *weighted
    )
    return tuple(
        Rival(**{n: _finite(v) for n, v in row.items()})
        for row in pooled.rename({"judged": "loans"}).iter_rows(named=True)
    )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _beside(rivals: tuple[Rival, ...]) -> Light | None:
    ours = next((r for r in rivals if r.model == OURS), None)
    if ours is None:
        return None
    return "amber" if any(r.rmse < ours.rmse for r in rivals) else "green"


def _plausible(r2: float | None, limit: float) -> Light | None:
    """Amber where R2 is too good to be true, or worse than the judged loans' own mean."""
    if r2 is None:
        return None
    return "green" if 0 <= r2 <= limit else "amber"


def blocks(accuracy: Accuracy, words: Words) -> list[Block]:
    """Show the accuracy."""
    table = [
        {
            "name": words(f"measure.{m.name}"),
            "weighted_by": words(f"weight.{m.weighted_by}"),
            "value": m.value,
            "low": m.low,
            "high": m.high,
        }
        for m in accuracy.measures
    ]
    own = [
        Column("name", words("column.measure")),
        Column("weighted_by", words("column.weighted_by")),
        Column("value", words("column.value"), "figure"),
        Column("low", words("column.low"), "figure"),
        Column("high", words("column.high"), "figure"),
    ]
    shown: list[Block] = [
        Text(words("accuracy.lead")),
        Table("accuracy", words("accuracy.own"), own, table),
    ]
    if accuracy.rivals:
        columns = [
            Column("model", words("column.model")),
            Column("folds", words("column.folds"), "count"),
            Column("loans", words("column.loans"), "count"),
            Column("r2", "R²", "figure"),
            Column("mae", "MAE", "figure"),
            Column("rmse", "RMSE", "figure"),
            Column("spearman", "Spearman", "figure"),
            Column("deviation", words("column.deviation"), "signed"),
        ]
        rows = [
            r.model_dump() | {"model": words.known("rival", r.model), "_strong": r.model == OURS}
            for r in accuracy.rivals
        ]
        shown.append(Table("baselines", words("accuracy.baselines"), columns, rows))
        shown.append(Text(words("accuracy.note"), "note"))
    else:
        shown.append(Text(words("accuracy.no_baselines"), "note"))
    return shown
