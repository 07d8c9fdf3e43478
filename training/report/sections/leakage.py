"""Suspicion of leakage: features that know too much, and an accuracy too good to be true."""

from typing import Any, Final, Literal

from pydantic import Field

from training.report.blocks import Block, Column, Table, Text
from training.report.part import Light, Part
from training.report.sections.accuracy import Accuracy
from training.report.subject import Subject
from training.report.words import Words
from training.validation.leakage import MOST_ALONE_POWER, MOST_MISSING_POWER

Suspicion = Literal["power", "missing"]
_TOLD: Final = ("feature", "meaning_en", "meaning_zh", "power_r2", "filled_gap")


class Suspect(Part):
    """A feature and what it tells by itself, out of time."""

    feature: str
    meaning_en: str
    meaning_zh: str
    power_r2: float | None = Field(description="Variance explained by it alone, out of time.")
    filled_gap: float | None = Field(
        description="How much more often it is filled in for closed than for open workouts."
    )
    suspected_for: Suspicion | None


class Leakage(Part):
    """What may have been known only after the cut-off."""

    features: tuple[Suspect, ...] = Field(description="Most powerful first.")
    suspected: int
    r2: float | None
    r2_limit: float
    light: Light


def figures(subject: Subject, accuracy: Accuracy) -> Leakage:
    """Features that the backtest flags, and whether R2 is above the limit."""
    table = subject.backtest.features.sort(
        "power_r2", "feature", descending=[True, False], nulls_last=True
    )
    features = tuple(
        Suspect(**{n: row[n] for n in _TOLD}, suspected_for=_suspected_for(row))
        for row in table.iter_rows(named=True)
    )
    suspected = sum(f.suspected_for is not None for f in features)
    r2, limit = accuracy.measures[0].value, subject.thresholds.leak_r2
    high = r2 is not None and r2 > limit
    return Leakage(
        features=features,
        suspected=suspected,
        r2=r2,
        r2_limit=limit,
        light="red" if suspected else "amber" if high else "green",
    )


def _suspected_for(row: dict[str, Any]) -> Suspicion | None:
    if not row["leak_flag"]:
        return None
    alone, missing = row["power_r2"] or 0.0, row["missing_power"] or 0.0
    return "missing" if alone <= MOST_ALONE_POWER and missing > MOST_MISSING_POWER else "power"


def blocks(found: Leakage, words: Words) -> list[Block]:
    """Name the suspects, and show the most powerful features."""
    names = [words.meaning(f.meaning_en, f.meaning_zh) for f in found.features]
    flagged = [n for n, f in zip(names, found.features, strict=True) if f.suspected_for]
    shown: list[Block] = [Text(words("leakage.lead"))]
    if flagged:
        listed = words("word.list_join").join(flagged)
        shown.append(Text(words("leakage.suspects", features=listed), "warning"))
    else:
        shown.append(Text(words("leakage.no_suspects")))
    high = found.r2 is not None and found.r2 > found.r2_limit
    shown.append(
        Text(
            words(
                "leakage.r2_high" if high else "leakage.r2_usual",
                r2=words.number("figure", found.r2),
                limit=words.number("decimal", found.r2_limit),
            ),
            "warning" if high else "plain",
        )
    )
    columns = [
        Column("feature", words("column.feature")),
        Column("name", words("column.feature_name")),
        Column("power_r2", words("column.power"), "figure"),
        Column("filled_gap", words("column.filled_gap"), "signed"),
        Column("verdict", words("column.verdict")),
    ]
    rows = [
        {
            "feature": name,
            "name": f.feature,
            "power_r2": f.power_r2,
            "filled_gap": f.filled_gap,
            "verdict": words(f"leakage.{f.suspected_for}") if f.suspected_for else "",
            "_strong": f.suspected_for is not None,
        }
        for name, f in zip(names, found.features, strict=True)
    ]
    if rows:
        shown.append(Table("leakage", words("leakage.table"), columns, rows, shown=rows[:10]))
    return shown
