"""Where every loan of the tape went, and that loans and money add up to the cent."""

from collections.abc import Sequence
from math import fsum
from typing import Final

from pydantic import Field

from training.errors import TrainingError
from training.report.blocks import Block, Column, Table, Text
from training.report.cash import exact_amount
from training.report.part import Part
from training.report.subject import Subject
from training.report.words import Words

FORECAST: Final = "forecast"
_CENT: Final = 0.005
# What is added up in another order differs in its last digits.
_RELATIVE: Final = 1e-14


class FunnelRow(Part):
    """Loans of the tape that ended in one place."""

    step: str
    reason: str
    loans: int
    ead_amount: float


class Data(Part):
    """Every loan of the tape, accounted for."""

    loans: int = Field(description="Of the tape.")
    ead_amount: float
    forecast_loans: int = Field(description="With an original walk-forward forecast.")
    forecast_ead_amount: float
    judged_loans: int = Field(description="With an outcome in the headline's view too.")
    judged_ead_amount: float
    funnel: tuple[FunnelRow, ...]


def figures(subject: Subject) -> Data:
    """Account for every loan and every cent.

    Raises
    ------
    TrainingError
        When loans or money of the funnel, the forecasts and any segment table do not tie.
    """
    funnel = tuple(FunnelRow(**row) for row in subject.backtest.funnel.to_dicts())
    loans, judged = subject.loans, subject.judged
    data = Data(
        loans=sum(row.loans for row in funnel),
        ead_amount=fsum(row.ead_amount for row in funnel),
        forecast_loans=loans.height,
        forecast_ead_amount=exact_amount(loans),
        judged_loans=judged.height,
        judged_ead_amount=exact_amount(judged),
        funnel=funnel,
    )
    reached = [row for row in funnel if row.step == FORECAST]
    require_tie(
        "funnel and forecasts",
        [(sum(r.loans for r in reached), fsum(r.ead_amount for r in reached))],
        (data.forecast_loans, data.forecast_ead_amount),
    )
    return data


def require_tie(what: str, parts: Sequence[tuple[int, float]], whole: tuple[int, float]) -> None:
    """Refuse parts that are not the whole, in loans and to the cent.

    Parameters
    ----------
    what : str
        What is compared, for the message.
    parts : sequence of (int, float)
        Loans and money of each part.
    whole : tuple of (int, float)
        Loans and money of the whole.

    Raises
    ------
    TrainingError
        Naming both sums.
    """
    loans, money = sum(p[0] for p in parts), fsum(p[1] for p in parts)
    allowed = max(_CENT, _RELATIVE * abs(whole[1]))
    if loans != whole[0] or not abs(money - whole[1]) < allowed:
        raise TrainingError(
            f"totals do not tie, {what}: {loans:,} loans and {money:,.2f} against"
            f" {whole[0]:,} and {whole[1]:,.2f}"
        )


def blocks(data: Data, words: Words) -> list[Block]:
    """Show where the loans went."""
    columns = [
        Column("step", words("column.step")),
        Column("reason", words("column.reason")),
        Column("loans", words("column.loans"), "count"),
        Column("loans_share", words("column.share_loans"), "rate"),
        Column("ead_amount", words("column.ead", unit=words.money_unit), "money"),
        Column("ead_share", words("column.share_ead"), "rate"),
    ]
    rows = [
        {
            "step": words.known("step", row.step),
            "reason": words.known("reason", row.reason),
            "loans": row.loans,
            "loans_share": row.loans / data.loans if data.loans else None,
            "ead_amount": row.ead_amount,
            "ead_share": row.ead_amount / data.ead_amount if data.ead_amount else None,
        }
        for row in data.funnel
    ]
    total = {
        "step": words("word.total"),
        "loans": data.loans,
        "loans_share": 1.0,
        "ead_amount": data.ead_amount,
        "ead_share": 1.0,
    }
    return [
        Text(words("data.lead")),
        Table("funnel", words("data.funnel"), columns, rows, total),
        Text(
            words(
                "data.judged",
                forecast=words.number("count", data.forecast_loans),
                judged=words.number("count", data.judged_loans),
                waiting=words.number("count", data.forecast_loans - data.judged_loans),
                judged_ead=words.money(data.judged_ead_amount),
                waiting_ead=words.money(data.forecast_ead_amount - data.judged_ead_amount),
            )
        ),
        Text(words("data.tied"), "note"),
    ]
