"""Geometry of a report's charts: figures in, places on an SVG canvas out; the template draws."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from models.axis import nice_ticks
from models.package import PackageValuation
from models.wording import GROUPS, Label, rate, short_amount

WIDTH: Final = 912
_LEFT, _RIGHT, _TOP = 64, 24, 26


@dataclass(frozen=True)
class Tick:
    """A grid line: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A bar or a point. `kind` picks its look: total, up, down, bar."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    text: str
    name: Label
    note: str = ""
    anchor: str = "middle"
    text_x: float = 0.0


@dataclass(frozen=True)
class Chart:
    """What the template draws, with the sentence that says it to those who cannot see it."""

    height: float
    left: float
    right: float
    top: float
    bottom: float
    says: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...] = ()
    path: str = ""
    ceiling: Tick | None = None


def round_amount(money: float, like: float) -> str:
    """Amount of a grid line in the unit that suits `like`, without needless zeros."""
    number, _, unit = short_amount(money, like).partition(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {unit}" if unit and money else number


def cash_chart(valuation: PackageValuation) -> Chart | None:
    """Cumulative expected cash over months after the cut-off, months to scale."""
    dated = valuation.curve.filter(pl.col("horizon_months").is_not_null())
    ultimate = valuation.expected_recovery_amount
    if dated.is_empty() or ultimate <= 0:
        return None
    top, bottom, right = float(_TOP), 262.0, float(WIDTH - _RIGHT)
    reach = max(ultimate, float(dated["cumulative_amount"].max() or 0)) * 1.08  # type: ignore[arg-type]
    last = int(dated["horizon_months"][-1])

    def across(months: float) -> float:
        return _LEFT + (right - 34 - _LEFT) * months / last

    def up(money: float) -> float:
        return bottom - (bottom - top) * money / reach

    marks = []
    for months, money, share in dated.select(
        "horizon_months", "cumulative_amount", "cumulative_rate"
    ).iter_rows():
        name = Label(f"{months}", "")
        marks.append(
            Mark(across(months), up(money), 0, 0, "total", short_amount(money), name, rate(share))
        )
    line = " ".join(f"L{mark.x:.1f} {mark.y:.1f}" for mark in marks)
    said = "; ".join(f"{m.text} ({m.note}) by month {m.name.en}" for m in marks)
    beyond = valuation.curve["horizon_months"].null_count() > 0
    return Chart(
        height=bottom + 44,
        left=_LEFT,
        right=right,
        top=top,
        bottom=bottom,
        says=f"Cumulative expected cash in {valuation.meta.currency}: {said}.",
        marks=tuple(marks),
        ticks=tuple(
            Tick(up(money), round_amount(money, reach)) for money in nice_ticks(0.0, reach, 4)
        ),
        path=f"M{_LEFT} {bottom} {line}",
        ceiling=Tick(up(ultimate), f"ultimate 最终 {short_amount(ultimate)}") if beyond else None,
    )


def waterfall_chart(valuation: PackageValuation) -> Chart | None:
    """From the starting point to the expected recovery, a bar a factor group, in money."""
    if valuation.base_amount is None:
        return None
    left, right, row = 210.0, float(WIDTH - 92), 36.0
    steps = [
        (GROUPS[group], moved)
        for group, moved in valuation.groups.select("group", "amount").iter_rows()
    ]
    levels = [valuation.base_amount]
    for _, moved in steps:
        levels.append(levels[-1] + moved)
    low, high = min(0.0, *levels), max(0.0, *levels)
    scale = (right - left) / ((high - low) or 1.0)

    def bar(place: int, start: float, end: float, kind: str, text: str, name: Label) -> Mark:
        x, width = left + (min(start, end) - low) * scale, abs(end - start) * scale
        return Mark(
            x,
            8 + row * place,
            max(width, 1.0),
            row - 13,
            kind,
            text,
            name,
            "",
            "start",
            x + width + 7,
        )

    start_name = Label("The average loan", "平均贷款")
    marks = [bar(0, 0.0, levels[0], "total", short_amount(levels[0]), start_name)]
    for place, (name, moved) in enumerate(steps, 1):
        text = ("+" if moved >= 0 else "") + short_amount(moved, high)
        kind = "up" if moved >= 0 else "down"
        marks.append(bar(place, levels[place - 1], levels[place], kind, text, name))
    end = valuation.expected_recovery_amount
    marks.append(
        bar(
            len(steps) + 1,
            0.0,
            end,
            "total",
            short_amount(end),
            Label("Expected recovery", "预期回收"),
        )
    )
    bottom = 8 + row * len(marks)
    said = "; ".join(f"{mark.name.en} {mark.text}" for mark in marks)
    return Chart(
        height=bottom + 4,
        left=left + (0.0 - low) * scale,
        right=right,
        top=0.0,
        bottom=bottom - 5,
        says=f"Waterfall in {valuation.meta.currency}: {said}.",
        marks=tuple(marks),
    )


def distribution_chart(valuation: PackageValuation) -> Chart | None:
    """Share of the scored exposure by forecast recovery rate."""
    table = valuation.distribution
    total = float(table["ead_amount"].sum())
    if total <= 0:
        return None
    top, bottom, right = float(_TOP), 214.0, float(WIDTH - _RIGHT)
    shares = [money / total for money in table["ead_amount"]]
    reach, slot = max(shares) * 1.04, (right - _LEFT) / table.height
    marks = []
    for place, (low, high, loans) in enumerate(
        table.select("from_rate", "to_rate", "loans").iter_rows()
    ):
        tall = (bottom - top) * shares[place] / reach
        name = "<0%" if low is None else "≥100%" if high is None else f"{100 * low:.0f}–{high:.0%}"
        marks.append(
            Mark(
                _LEFT + slot * place + 3,
                bottom - tall,
                slot - 6,
                tall,
                "bar",
                rate(shares[place]) if loans else "",
                Label(name, ""),
                f"{loans:,}",
                text_x=_LEFT + slot * (place + 0.5),
            )
        )
    said = "; ".join(f"{m.name.en}: {m.text} of EAD, {m.note} loans" for m in marks if m.text)
    return Chart(
        height=bottom + 52,
        left=_LEFT,
        right=right,
        top=top,
        bottom=bottom,
        says=f"Exposure by forecast recovery rate: {said}.",
        marks=tuple(marks),
        ticks=tuple(
            Tick(bottom - (bottom - top) * share / reach, rate(share, 0))
            for share in nice_ticks(0.0, reach, 4)
        ),
    )
