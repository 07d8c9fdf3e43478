"""Discrimination: the generalised AUC with its error, its change over folds, loss capture."""

import polars as pl
from pydantic import Field

from training.report.blocks import Block, Column, Facts, Table, Text
from training.report.part import Light, Part
from training.report.subject import Subject
from training.report.words import DASH, Words
from training.validation.bootstrap import rows_interval
from training.validation.discrimination import (
    GeneralisedAuc,
    auc_change,
    generalised_auc,
    loss_capture,
)
from training.validation.rate_segments import segment_table
from training.validation.thin import LEAST_LOANS

_TWO_SIDED_95 = 1.96


class FoldAuc(Part):
    """Generalised AUC of one fold, and whether it has fallen since the first."""

    fold: int
    first_vintage: str
    loans: int
    auc: float | None
    standard_error: float | None
    change_p_value: float | None = Field(description="1 - Phi(S); small: it has fallen.")


class Discrimination(Part):
    """Discrimination of the headline's forecasts."""

    auc: float | None
    standard_error: float | None
    loss_capture_ratio: float | None
    loss_capture_low: float | None
    loss_capture_high: float | None
    folds: tuple[FoldAuc, ...]
    light: Light | None


def figures(subject: Subject) -> Discrimination:
    """Discrimination over all judged loans and by fold."""
    judged = subject.judged
    whole = _auc(judged)
    estimated, realised = 1 - judged["forecast"].to_numpy(), 1 - judged["actual"].to_numpy()
    ead = judged["ead_amount"].to_numpy()
    capture = loss_capture(estimated, realised, ead).ratio
    interval = rows_interval(lambda *rows: loss_capture(*rows).ratio, estimated, realised, ead)
    folds = _folds(judged)
    return Discrimination(
        auc=whole.auc,
        standard_error=whole.standard_error,
        loss_capture_ratio=capture,
        loss_capture_low=interval.low,
        loss_capture_high=interval.high,
        folds=folds,
        light=_light(whole, folds, subject.thresholds.significance),
    )


def _auc(pairs: pl.DataFrame) -> GeneralisedAuc:
    return generalised_auc(
        segment_table(1 - pairs["forecast"].to_numpy(), 1 - pairs["actual"].to_numpy())
    )


def _folds(judged: pl.DataFrame) -> tuple[FoldAuc, ...]:
    found: list[FoldAuc] = []
    first: float | None = None
    for fold in judged["fold"].unique().sort():
        pairs = judged.filter(pl.col("fold") == fold)
        told = _auc(pairs) if pairs.height >= LEAST_LOANS else None
        change = auc_change(first, told) if told and first is not None else None
        if first is None and told is not None:
            first = told.auc
        found.append(
            FoldAuc(
                fold=fold,
                first_vintage=str(pairs["vintage_date"].min() or ""),
                loans=pairs.height,
                auc=told.auc if told else None,
                standard_error=told.standard_error if told else None,
                change_p_value=change.p_value if change else None,
            )
        )
    return tuple(found)


def _light(whole: GeneralisedAuc, folds: tuple[FoldAuc, ...], level: float) -> Light | None:
    if whole.auc is None or whole.standard_error is None:
        return None
    if whole.auc - _TWO_SIDED_95 * whole.standard_error <= 0.5:
        return "red"
    last = next((f.change_p_value for f in reversed(folds) if f.change_p_value is not None), None)
    return "amber" if last is not None and last <= level else "green"


def blocks(found: Discrimination, words: Words) -> list[Block]:
    """Show the figures and the folds."""
    auc = DASH
    if found.auc is not None:
        error = words.number("figure", found.standard_error)
        auc = f"{words.number('figure', found.auc)} ± {error}"
    capture = words.number("rate", found.loss_capture_ratio)
    if found.loss_capture_low is not None:
        low, high = (
            words.number("rate", v) for v in (found.loss_capture_low, found.loss_capture_high)
        )
        capture += f" ({low} – {high})"
    columns = [
        Column("fold", words("column.fold"), "count"),
        Column("first_vintage", words("column.first_vintage")),
        Column("loans", words("column.loans"), "count"),
        Column("auc", words("column.auc"), "figure"),
        Column("standard_error", words("column.standard_error"), "figure"),
        Column("change_p_value", words("column.p_fallen"), "p"),
    ]
    rows = [
        f.model_dump() | ({"auc": words("word.too_few")} if f.auc is None else {})
        for f in found.folds
    ]
    return [
        Text(words("discrimination.lead")),
        Facts(
            [
                (words("discrimination.auc"), auc),
                (words("discrimination.capture"), capture),
            ]
        ),
        Table("discrimination", words("discrimination.by_fold"), columns, rows),
        Text(words("discrimination.note"), "note"),
    ]
