"""Reference dates: calendar ends with enough known before and enough after."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from features.portfolio import PortfolioMeta
from training.backtest_dates import numbered, reference_dates
from training.errors import TrainingError


def meta(timing: str, lag: int = 0) -> PortfolioMeta:
    return PortfolioMeta.model_validate(
        {
            "name": "dates",
            "source_system": "synthetic",
            "currency": "CNY",
            "observed_until_date": date(2020, 12, 31),
            "recovery_basis": "claim",
            "recovery_timing": timing,
            "reporting_lag_months": lag,
        }
    )


def loans(per_day: dict[date, int], closed_after_days: int | None = None) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for day, count in per_day.items():
        closed = None if closed_after_days is None else day + timedelta(days=closed_after_days)
        rows += [{"cut_off_date": day, "closed_date": closed, "has_outcome": True}] * count
    frame = pl.DataFrame(rows, schema_overrides={"closed_date": pl.Date})
    return frame.with_columns(loan_id=pl.int_range(pl.len()).cast(pl.String))


def test_years_end_where_there_are_five_of_them() -> None:
    found = reference_dates(loans({date(y, 6, 30): 120 for y in range(2010, 2016)}), meta("none"))
    assert [one.day for one in found] == [date(y, 12, 31) for y in range(2010, 2015)]
    assert [one.until for one in found] == [date(y, 12, 31) for y in range(2011, 2015)] + [None]
    assert [one.fold for one in found] == [0, 1, 2, 3, 4]


def test_a_short_file_is_walked_by_the_half_year_or_quarter() -> None:
    months = [date(y, m, 28) for y in (2010, 2011, 2012) for m in range(1, 13)]
    found = reference_dates(loans(dict.fromkeys(months, 40)), meta("none"))
    assert [one.day for one in found] == [
        date(2010, 6, 30),
        date(2010, 12, 31),
        date(2011, 6, 30),
        date(2011, 12, 31),
        date(2012, 6, 30),
    ]


def test_only_the_newest_eight_are_taken() -> None:
    found = reference_dates(loans({date(y, 6, 30): 120 for y in range(1990, 2016)}), meta("none"))
    assert [one.day.year for one in found] == list(range(2007, 2015))


def test_a_thin_year_is_left_to_the_date_before() -> None:
    per_year = {date(y, 6, 30): 120 for y in range(2009, 2017)} | {date(2012, 6, 30): 29}
    found = reference_dates(loans(per_year), meta("none"))
    # After the end of 2011 came 29 loans: they are forecast from the end of 2010, with 2011's.
    assert date(2011, 12, 31) not in [one.day for one in found]
    assert (found[1].day, found[1].until) == (date(2010, 12, 31), date(2012, 12, 31))


def test_an_outcome_counts_from_when_it_is_known() -> None:
    quarters = [date(2010, 4, 30), date(2010, 7, 31), date(2010, 10, 31)]
    quarters += [date(2011, 1, 31), date(2011, 4, 30)]
    per_quarter = {date(2010, 1, 31): 100} | dict.fromkeys(quarters, 40)

    def first(timing: str, lag: int, closed_after_days: int | None = None) -> date:
        return reference_dates(loans(per_quarter, closed_after_days), meta(timing, lag))[0].day

    # The hundred of January 2010 are watched for six months at the end of July.
    assert first("monthly", 0) == date(2010, 9, 30)
    assert first("monthly", 3) == date(2010, 12, 31)
    # They close on 11 May, and what they brought is booked three months later.
    assert first("resolution", 0, 100) == date(2010, 6, 30)
    assert first("resolution", 3, 100) == date(2010, 9, 30)
    with pytest.raises(TrainingError, match="no calendar date"):
        first("resolution", 0)


def test_a_cut_off_on_the_day_trains_and_one_after_it_is_scored() -> None:
    first, last = numbered([date(2010, 12, 31), date(2011, 12, 31)])
    days = pl.DataFrame(
        {"day": [date(2010, 12, 31), date(2011, 1, 1), date(2011, 12, 31), date(2012, 1, 1)]}
    )
    scored = days.select(a=first.scores(pl.col("day")), b=last.scores(pl.col("day")))
    assert scored["a"].to_list() == [False, True, True, False]
    assert scored["b"].to_list() == [False, False, False, True]
