"""Geometry of cumulative cash within its alarm band, month by month."""

from dataclasses import dataclass
from itertools import groupby
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
        `month`, `forecast_amount`, `actual_amount`, `low_amount`, `high_amount`, `warning`; the
        ends of the band are null in a month that has none.
    currency : str
        ISO 4217 code.
    """
    if not months:
        return None
    right = WIDTH - _RIGHT
    lines = [row[name] for row in months for name in ("actual_amount", "forecast_amount")]
    ends = [row[name] for row in months if _has_band(row) for name in ("low_amount", "high_amount")]
    low: float = min(0.0, *lines, *ends)
    reach: float = max(1.0, *lines, *ends) * 1.05

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
    texts = [up(last["forecast_amount"]), up(last["actual_amount"])]
    if abs(texts[0] - texts[1]) < _APART:
        middle, sign = sum(texts) / 2, 1 if texts[0] >= texts[1] else -1
        texts = [middle + sign * _APART / 2, middle - sign * _APART / 2]
    return BandChart(
        height=_BOTTOM + 40,
        left=_LEFT,
        right=right,
        bottom=up(0.0),
        says=_says(months, currency),
        ticks=tuple(
            Tick(up(money), round_amount(money, reach)) for money in nice_ticks(low, reach, 4)
        ),
        months=tuple(
            Tick(across(place), row["month"])
            for place, row in enumerate(months, 1)
            if place % every == 0
        ),
        band=" ".join(
            _path([(across(place), up(money)) for place, money in outline]) + " Z"
            for outline in _outlines(months)
        ),
        forecast=_path(line("forecast_amount")),
        actual=_path(line("actual_amount")),
        dots=tuple(
            (x, y, row["warning"] is not None)
            for (x, y), row in zip(line("actual_amount")[1:], months, strict=True)
        ),
        forecast_end=Tick(texts[0], short_amount(last["forecast_amount"])),
        actual_end=Tick(texts[1], short_amount(last["actual_amount"])),
    )


def _has_band(row: dict[str, Any]) -> bool:
    return row["high_amount"] is not None


def _says(months: list[dict[str, Any]], currency: str) -> str:
    last = months[-1]
    warned = [row["month"] for row in months if row["warning"]]
    ends = [short_amount(last[name]) for name in ("low_amount", "high_amount") if _has_band(last)]
    band = f"alarm band {' to '.join(ends)}" if ends else "no alarm band"
    return (
        f"Cumulative net cash in {currency} by {last['month']}: forecast"
        f" {short_amount(last['forecast_amount'])}, realised"
        f" {short_amount(last['actual_amount'])}, {band};"
        f" outside it in {', '.join(warned) or 'no month'}."
    )


def _outlines(months: list[dict[str, Any]]) -> list[list[tuple[int, float]]]:
    """Outline of the band in each run of months that has one, as places and amounts."""
    # Nothing has come on the day of the cut-off, for certain.
    rows = [{"low_amount": 0.0, "high_amount": 0.0}, *months]
    outlines = []
    for banded, run in groupby(enumerate(rows), key=lambda placed: _has_band(placed[1])):
        places = list(run)
        if banded and len(places) > 1:
            high = [(place, row["high_amount"]) for place, row in places]
            outlines.append(high + [(place, row["low_amount"]) for place, row in places[::-1]])
    return outlines


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
