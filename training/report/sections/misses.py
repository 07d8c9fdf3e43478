"""The twenty worst misses by money, with the reasons the model gave."""

from typing import Any, Final

from pydantic import Field

from training.report.blocks import Block, Column, Table, Text
from training.report.part import Part
from training.report.subject import Subject
from training.report.words import Words

_FIGURES: Final = (
    "loan_id",
    "asset_class",
    "region",
    "ead_amount",
    "forecast_rate",
    "actual_rate",
    "miss_amount",
)


class Factor(Part):
    """What moved a forecast, in rate points."""

    feature: str
    value: str | None
    points: float


class Miss(Part):
    """A loan whose cash missed its forecast."""

    loan_id: str
    asset_class: str
    region: str
    vintage_date: str
    ead_amount: float
    forecast_rate: float
    actual_rate: float
    miss_amount: float = Field(description="Actual less forecast cash, currency.")
    factors: tuple[Factor, ...]


class Misses(Part):
    """The worst misses, and how much of all missed cash they are."""

    loans: tuple[Miss, ...]
    share_of_missed: float | None = Field(description="Of the sum of absolute misses.")
    meanings_en: dict[str, str]
    meanings_zh: dict[str, str]


def figures(subject: Subject) -> Misses:
    """The worst misses of the headline."""
    judged = subject.judged
    missed = float((judged["actual_amount"] - judged["forecast_amount"]).abs().sum())
    known = judged.select("loan_id", "asset_class", "region", "vintage_date")
    worst = subject.backtest.reasons.join(known, on="loan_id", how="left", maintain_order="left")
    features = subject.backtest.features
    return Misses(
        loans=tuple(
            Miss(
                **{name: row[name] for name in _FIGURES},
                vintage_date=str(row["vintage_date"] or ""),
                factors=_factors(row),
            )
            for row in worst.iter_rows(named=True)
        ),
        share_of_missed=float(worst["miss_amount"].abs().sum()) / missed if missed else None,
        meanings_en=dict(features.select("feature", "meaning_en").iter_rows()),
        meanings_zh=dict(features.select("feature", "meaning_zh").iter_rows()),
    )


def _factors(row: dict[str, Any]) -> tuple[Factor, ...]:
    found = []
    place = 1
    while row.get(f"factor_{place}") is not None:
        found.append(
            Factor(
                feature=row[f"factor_{place}"],
                value=row.get(f"factor_{place}_value"),
                points=row[f"factor_{place}_points"],
            )
        )
        place += 1
    return tuple(found)


def blocks(found: Misses, words: Words) -> list[Block]:
    """Show the loans with their reasons."""
    meanings = found.meanings_zh if words.language == "zh" else found.meanings_en
    columns = [
        Column("rank", words("column.rank"), "count"),
        Column("loan_id", words("column.loan")),
        Column("kind", words("column.kind")),
        Column("ead_amount", words("column.ead", unit=words.money_unit), "money"),
        Column("forecast_rate", words("column.forecast_rate"), "rate"),
        Column("actual_rate", words("column.actual_rate"), "rate"),
        Column("miss_amount", words("column.miss", unit=words.money_unit), "money_signed"),
        Column("reasons", words("column.reasons")),
    ]
    rows = [
        miss.model_dump()
        | {
            "rank": place,
            "kind": " · ".join(
                words.level(name, getattr(miss, name))
                for name in ("asset_class", "region")
                if getattr(miss, name)
            ),
            "reasons": words("word.clause_join").join(
                words("misses.factor",
                      feature=meanings.get(f.feature, f.feature),
                      value=words.value(f.feature, f.value),
                      points=words.number("points", f.points))
                for f in miss.factors[:3]
            ) or words("misses.no_reasons"),
        }
        for place, miss in enumerate(found.loans, 1)
    ]  # fmt: skip
    share = words.number("rate", found.share_of_missed)
    return [
        Text(words("misses.lead", count=len(found.loans), share=share)),
        Table("misses", words("misses.table"), columns, rows),
        Text(words("misses.note"), "note"),
    ]
