"""What this report cannot tell."""

from training.report.blocks import Block, Text
from training.report.part import Part
from training.report.subject import Subject
from training.report.words import Words


class Limits(Part):
    """Keys of the limits that apply, and the portfolio's own caveats."""

    applies: tuple[str, ...]
    notes: tuple[str, ...]


def figures(subject: Subject, few_months: bool) -> Limits:
    """Limits that apply to this backtest.

    Parameters
    ----------
    subject : Subject
        What was judged.
    few_months : bool
        Whether vintages are too few to be drawn whole.
    """
    meta = subject.backtest.meta
    applies = ["observational"]
    if meta.recovery_timing == "none":
        applies.append("undated")
    if meta.recovery_timing == "resolution":
        applies.append("resolution")
    if subject.horizon_months is None:
        applies.append("closed_only")
    if few_months:
        applies.append("few_vintages")
    if meta.recovery_basis == "original_amount":
        applies.append("original_amount")
    applies += ["estimated", "nominal", "practice"]
    return Limits(applies=tuple(applies), notes=meta.notes)


def blocks(limits: Limits, words: Words) -> list[Block]:
    """List the limits."""
    shown: list[Block] = [Text(words(f"limit.{name}"), "item") for name in limits.applies]
    shown += [Text(words("limit.portfolio", note=note), "item") for note in limits.notes]
    return shown
