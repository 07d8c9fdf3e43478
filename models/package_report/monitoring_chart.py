"""Geometry of cumulative cash within its alarm band, month by month."""

from dataclasses import dataclass
from typing import Any

from models.axis import nice_ticks
from models.package_report.charts import WIDTH, Tick, round_amount
from models.wording import short_amount

_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 144.0, 20.0, 262.0
_LABELS = 10
_APART = 15.0


@dataclass(frozen=True)
class BandChart:
    """What the template draws: a band, a line of the forecast and one of the cash that came."""

    height: float
    left: float
    right: float
    bottom: float
    says: str
    ticks: tuple[Tick, ...]
    months: tuple[Tick, ...]
    band: str
    forecast: str
    actual: str
    dots: tuple[tuple[float, float, bool], ...]
    forecast_end: Tick
    actual_end: Tick


def band_chart(months: list[dict[str, Any]], currency: str) -> BandChart | None:
    """Chart of the rows of a monitoring document; None before any month is booked.

    Parameters
    ----------
    months : list of dict
        `month`, `forecast_amount`, `actual_amount`, `low_amount`, `high_amount`, `warning`.
    currency : str
        ISO 4217 code.
    """
    if not months:
        return None
    right = WIDTH - _RIGHT
    amounts: list[float] = [
        row[name] for row in months for name in ("high_amount", "actual_amount", "forecast_amount")
    ]
    low: float = min(0.0, *(row["actual_amount"] for row in months))
    reach = max(*amounts, 1.0) * 1.05

    def across(place: int) -> float:
        return _LEFT + (right - _LEFT) * place / len(months)

    def up(money: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * (money - low) / (reach - low)

    def line(name: str) -> list[tuple[float, float]]:
        return [(across(0), up(0.0))] + [
            (across(place), up(row[name])) for place, row in enumerate(months, 1)
        ]

    every = -(-len(months) // _LABELS)
    last = months[-1]
    ends = [up(last["forecast_amount"]), up(last["actual_amount"])]
    if abs(ends[0] - ends[1]) < _APART:
        middle, sign = sum(ends) / 2, 1 if ends[0] >= ends[1] else -1
        ends = [middle + sign * _APART / 2, middle - sign * _APART / 2]
    warned = [row["month"] for row in months if row["warning"]]
    return BandChart(
        height=_BOTTOM + 40,
        left=_LEFT,
        right=right,
        bottom=up(0.0),
        says=(
            f"Cumulative net cash in {currency} by {last['month']}: forecast"
            f" {short_amount(last['forecast_amount'])}, realised"
            f" {short_amount(last['actual_amount'])}, alarm band"
            f" {short_amount(last['low_amount'])} to {short_amount(last['high_amount'])};"
            f" outside it in {', '.join(warned) or 'no month'}."
        ),
        ticks=tuple(
            Tick(up(money), round_amount(money, reach)) for money in nice_ticks(low, reach, 4)
        ),
        months=tuple(
            Tick(across(place), row["month"])
            for place, row in enumerate(months, 1)
            if place % every == 0
        ),
        band=_path(line("high_amount") + line("low_amount")[::-1]) + " Z",
        forecast=_path(line("forecast_amount")),
        actual=_path(line("actual_amount")),
        dots=tuple(
            (x, y, row["warning"] is not None)
            for (x, y), row in zip(line("actual_amount")[1:], months, strict=True)
        ),
        forecast_end=Tick(ends[0], short_amount(last["forecast_amount"])),
        actual_end=Tick(ends[1], short_amount(last["actual_amount"])),
    )


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
