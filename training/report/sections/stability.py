"""Stability: features and forecasts now against development."""

from typing import Final

import numpy as np
import polars as pl
from pydantic import Field

from training.report.blocks import Block, Column, Figure, Table, Text
from training.report.part import Light, Part, Thresholds
from training.report.rows_chart import Row, rows_chart
from training.report.subject import Subject
from training.report.words import Words
from training.validation.rate_segments import LABELS, segment_of
from training.validation.stability import stability

_SHOWN: Final = 15


class FeatureStability(Part):
    """One feature: development loans against the latest vintages."""

    feature: str
    meaning_en: str
    meaning_zh: str
    psi: float | None
    chance_limit: float | None = Field(description="Exceeded one time in twenty by chance alone.")
    light: Light | None


class Stability(Part):
    """Stability of what goes into the model and of what comes out."""

    features: tuple[FeatureStability, ...] = Field(description="Least stable first.")
    forecast_psi: float | None = Field(
        description="Of the forecasts over the 12 segments, first fold against last."
    )
    forecast_chance_limit: float | None = Field(
        description="What one pair of samples in twenty exceeds under no change."
    )
    light: Light | None


def figures(subject: Subject) -> Stability:
    """Population stability of features and forecasts."""
    limits = subject.thresholds
    table = subject.backtest.features.with_columns(pl.col("psi").fill_nan(None)).sort(
        "psi", "feature", descending=[True, False], nulls_last=True
    )
    features = tuple(
        FeatureStability(
            **{n: row[n] for n in ("feature", "meaning_en", "meaning_zh", "psi")},
            chance_limit=row["psi_chance_limit"],
            light=_light(row["psi"], row["psi_chance_limit"], limits),
        )
        for row in table.iter_rows(named=True)
    )
    judged = subject.judged
    folds = judged["fold"].unique().sort()
    psi = limit = light = None
    if len(folds) > 1:
        first, last = (
            np.bincount(
                segment_of(1 - judged.filter(pl.col("fold") == fold)["forecast"].to_numpy()),
                minlength=len(LABELS),
            )
            for fold in (folds[0], folds[-1])
        )
        found = stability(first, last)
        psi, limit = found.psi, found.chance_limit
        light = _light(psi, limit, limits)
    return Stability(features=features, forecast_psi=psi, forecast_chance_limit=limit, light=light)


def _light(psi: float | None, by_chance: float | None, limits: Thresholds) -> Light | None:
    if psi is None:
        return None
    if by_chance is not None and psi <= by_chance:
        return "green"
    if psi >= limits.red_psi:
        return "red"
    return "amber" if psi >= limits.amber_psi else "green"


def blocks(found: Stability, words: Words, thresholds: Thresholds) -> list[Block]:
    """Draw the least stable features, and show the table."""
    rows = [
        {
            "feature": words.meaning(f.meaning_en, f.meaning_zh),
            "name": f.feature,
            "psi": f.psi,
            "chance_limit": f.chance_limit,
            "verdict": "" if f.light is None else words(f"light.psi_{f.light}"),
        }
        for f in found.features
    ]
    columns = [
        Column("feature", words("column.feature")),
        Column("name", words("column.feature_name")),
        Column("psi", "PSI", "figure"),
        Column("chance_limit", words("column.chance_limit"), "figure"),
        Column("verdict", words("column.verdict")),
    ]
    shown: list[Block] = [Text(words("stability.lead"))]
    if found.forecast_psi is not None:
        shown.append(
            Text(
                words(
                    "stability.forecast",
                    psi=words.number("figure", found.forecast_psi),
                    limit=words.number("figure", found.forecast_chance_limit),
                )
            )
        )
    told = [f for f in found.features if f.psi is not None][:_SHOWN]
    if told:
        drawn = [
            Row(
                label=words.meaning(f.meaning_en, f.meaning_zh),
                said=words.number("figure", f.psi),
                value=f.psi,
                shape={"red": "square", "amber": "triangle"}.get(f.light or "", "circle"),
                hollow=f.light == "green",
            )
            for f in told
        ]
        limits = (thresholds.amber_psi, thresholds.red_psi)
        title = words("stability.figure")
        drawing = rows_chart(
            "stability",
            title,
            drawn,
            lambda v: words.number("decimal", v),
            "PSI",
            limits,
            2 * thresholds.red_psi,
        )
        shown.append(Figure(title, (drawing,)))
    if rows:
        shown.append(
            Table("stability", words("stability.table"), columns, rows, shown=rows[:_SHOWN])
        )
    return shown
