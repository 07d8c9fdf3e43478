"""Realised recoveries against ledgers worked out by hand and against a plain loop."""

from calendar import monthrange
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.horizons import HORIZONS_MONTHS, rate_column
from features.portfolio import Portfolio, PortfolioMeta, RecoveryTiming
from features.targets import realised_recovery

CUT_OFF = date(2020, 1, 31)
OBSERVED = date(2025, 12, 31)


class Cash(NamedTuple):
    loan: str
    period: date | None
    gross: float
    cost: float = 0.0
    recorded: date = date(2020, 1, 1)


def portfolio(
    cash: list[Cash],
    *,
    cut_offs: dict[str, date] | None = None,
    closed: dict[str, date] | None = None,
    claim: float = 1000.0,
    timing: RecoveryTiming = "monthly",
    observed: date = OBSERVED,
    **more: Any,
) -> Portfolio:
    loans = cut_offs or {"a": CUT_OFF}
    tape = pl.LazyFrame(
        {
            "loan_id": list(loans),
            "snapshot_date": list(loans.values()),
            "principal_outstanding": [claim] * len(loans),
            "interest_outstanding": [0.0] * len(loans),
            "closed_date": [(closed or {}).get(loan) for loan in loans],
        },
        schema_overrides={"closed_date": pl.Date},
    )
    ledger = pl.LazyFrame(
        {
            "loan_id": [row.loan for row in cash],
            "period": [row.period for row in cash],
            "gross_amount": [row.gross for row in cash],
            "cost_amount": [row.cost for row in cash],
            "recorded_at": [
                datetime(row.recorded.year, row.recorded.month, row.recorded.day) for row in cash
            ],
        },
        schema={
            "loan_id": pl.String,
            "period": pl.Date,
            "gross_amount": pl.Float64,
            "cost_amount": pl.Float64,
            "recorded_at": pl.Datetime("us"),
        },
    )
    meta = PortfolioMeta(
        name="worked by hand",
        source_system="synthetic",
        currency="CNY",
        observed_until_date=observed,
        recovery_basis="claim",
        recovery_timing=timing,
        **more,
    )
    return Portfolio(meta, tape, ledger)


def row(found: Portfolio, loan: str = "a", **more: Any) -> dict[str, Any]:
    frame = realised_recovery(found, **more).collect()
    return frame.row(by_predicate=pl.col("loan_id") == loan, named=True)


def rates(found: dict[str, Any], prefix: str = "") -> list[float | None]:
    names = [rate_column(months) for months in HORIZONS_MONTHS]
    return [found[prefix + name] for name in (*names, "recovery_rate_ultimate")]


# Worked by hand


def test_cumulative_net_rates_by_horizon() -> None:
    found = row(
        portfolio(
            [
                Cash("a", date(2019, 12, 1), 999.0),  # before the cut-off
                Cash("a", date(2020, 1, 1), 999.0),  # in the month of the cut-off
                Cash("a", date(2020, 2, 1), 100.0, 10.0),  # month 1
                Cash("a", date(2020, 7, 1), 50.0),  # month 6
                Cash("a", date(2020, 8, 1), 30.0, 40.0),  # month 7: costs above the gross amount
                Cash("a", date(2024, 1, 1), 200.0),  # month 48
                Cash("a", date(2025, 6, 1), 5.0),  # month 65
            ],
            closed={"a": date(2025, 7, 31)},
        )
    )
    assert rates(found) == pytest.approx([0.14, 0.13, 0.13, 0.13, 0.33, 0.33, 0.335])
    assert (found["observed_months"], found["closed_months"], found["is_resolved"]) == (
        71,
        66,
        True,
    )
    assert found["ead_amount"] == 1000.0


def test_cash_past_the_longest_workout_is_not_part_of_the_ultimate() -> None:
    cash = [Cash("a", date(2020, 2, 1), 100.0), Cash("a", date(2025, 2, 1), 50.0)]
    found = row(portfolio(cash, max_workout_months=60))  # February 2025 is month 61
    assert (found["is_resolved"], found["recovery_rate_ultimate"]) == (True, 0.1)


def test_discounting_at_the_end_of_each_month() -> None:
    cash = [Cash("a", date(2020, 7, 1), 100.0), Cash("a", date(2021, 1, 1), 100.0)]
    found = row(portfolio(cash, closed={"a": date(2021, 1, 31)}, discount_rate=0.1))
    half_year, year = 0.1 / 1.1**0.5, 0.1 / 1.1
    assert rates(found, "discounted_")[:2] == pytest.approx([half_year, half_year + year])
    assert found["discounted_recovery_rate_ultimate"] == pytest.approx(half_year + year)
    assert found["recovery_rate_ultimate"] == 0.2


def test_open_loans_are_known_as_far_as_they_were_watched() -> None:
    cash = [Cash("a", date(2020, 3, 1), 100.0)]
    found = row(portfolio(cash, observed=date(2022, 1, 31)))
    assert rates(found) == [0.1, 0.1, 0.1, None, None, None, None]
    assert rates(found, "discounted_")[3:] == [None] * 4
    assert (found["observed_months"], found["closed_months"], found["is_resolved"]) == (
        24,
        None,
        False,
    )


def test_a_reporting_lag_shortens_what_was_watched() -> None:
    found = row(portfolio([], observed=date(2022, 1, 31), reporting_lag_months=1))
    assert found["observed_months"] == 23
    assert rates(found)[:3] == [0.0, 0.0, None]
    assert (
        row(portfolio([], observed=date(2020, 2, 29), reporting_lag_months=3))["observed_months"]
        == 0
    )


@pytest.mark.parametrize(("known_on", "months"), [(date(2020, 7, 30), 5), (date(2020, 7, 31), 6)])
def test_a_month_is_watched_when_it_is_over(known_on: date, months: int) -> None:
    found = row(portfolio([Cash("a", date(2020, 7, 1), 100.0)]), known_on=known_on)
    assert found["observed_months"] == months
    assert found["recovery_rate_06m"] == (None if months < 6 else 0.1)


def test_workouts_closed_early_are_known_at_every_horizon() -> None:
    found = row(
        portfolio(
            [Cash("a", date(2020, 3, 1), 100.0)],
            closed={"a": date(2020, 4, 15)},
            observed=date(2020, 6, 30),
        )
    )
    assert rates(found) == [0.1] * 7
    assert (found["closed_months"], found["observed_months"]) == (3, 5)


def test_a_workout_that_brought_nothing_is_zero_not_missing() -> None:
    found = row(portfolio([], closed={"a": date(2020, 4, 15)}))
    assert rates(found) == rates(found, "discounted_") == [0.0] * 7


def test_rates_are_not_clipped() -> None:
    cash = [Cash("a", date(2020, 2, 1), 1500.0), Cash("b", date(2020, 2, 1), 0.0, 250.0)]
    cut_offs = {"a": CUT_OFF, "b": CUT_OFF}
    found = portfolio(cash, cut_offs=cut_offs)
    assert row(found, "a")["recovery_rate_06m"] == 1.5
    assert row(found, "b")["recovery_rate_06m"] == -0.25


def test_undated_outcomes() -> None:
    cash = [Cash("paid", None, 300.0, 50.0), Cash("zero", None, 0.0)]
    cut_offs = dict.fromkeys(("paid", "zero", "unknown"), CUT_OFF)
    frame = realised_recovery(portfolio(cash, cut_offs=cut_offs, timing="none")).collect()
    assert frame["loan_id"].to_list() == ["paid", "zero", "unknown"]
    assert frame["recovery_rate_ultimate"].to_list() == [0.25, 0.0, None]
    assert frame["is_resolved"].to_list() == [True, True, False]
    assert frame["discounted_recovery_rate_ultimate"].null_count() == 3
    assert all(frame[rate_column(months)].null_count() == 3 for months in HORIZONS_MONTHS)


def test_a_single_payment_at_resolution() -> None:
    cash = [Cash("a", date(2021, 1, 1), 400.0)]
    cut_offs = {"a": CUT_OFF, "open": CUT_OFF}
    found = portfolio(cash, cut_offs=cut_offs, closed={"a": date(2021, 1, 31)}, timing="resolution")
    assert rates(row(found)) == [0.0, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
    assert row(found, "open")["recovery_rate_ultimate"] is None


def test_known_on_forgets_what_came_to_be_known_later() -> None:
    found = portfolio(
        [
            Cash("a", date(2020, 2, 1), 100.0, recorded=date(2020, 2, 20)),
            Cash("a", date(2020, 3, 1), 50.0, recorded=date(2020, 12, 1)),  # posted late
            Cash("a", date(2020, 10, 1), 25.0, recorded=date(2020, 10, 5)),
        ],
        closed={"a": date(2021, 3, 31)},
    )
    then = row(found, known_on=date(2020, 9, 30))
    assert rates(then) == [0.1, None, None, None, None, None, None]
    assert then["closed_months"] is None
    assert rates(row(found)) == pytest.approx([0.15] + [0.175] * 6)


def test_a_later_cut_off_counts_only_what_comes_after_it() -> None:
    found = portfolio(
        [Cash("a", date(2020, 2, 1), 200.0), Cash("a", date(2020, 4, 1), 80.0)],
        closed={"a": date(2020, 5, 31)},
    )
    later = row(found, cut_off_date=date(2020, 3, 31))
    assert later["ead_amount"] == 800.0
    assert rates(later) == pytest.approx([0.1] * 7)
    assert later["closed_months"] == 2


def test_a_portfolio_without_closed_dates_is_open() -> None:
    found = portfolio([Cash("a", date(2020, 2, 1), 100.0)])
    bare = found.with_tables(found.tape.drop("closed_date"), found.ledger)
    assert row(bare)["is_resolved"] is False
    assert row(bare)["recovery_rate_60m"] == 0.1


# Against a plain loop

LOANS = ("a", "b", "c")


def months_between(start: date, end: date) -> int:
    return (end.year - start.year) * 12 + end.month - start.month


def by_loop(found: Portfolio, cash: list[Cash], loan: str, known_on: date) -> dict[str, Any]:
    tape = found.tape.collect().row(by_predicate=pl.col("loan_id") == loan, named=True)
    cut_off, closed, meta = tape["snapshot_date"], tape["closed_date"], found.meta
    full = months_between(cut_off, known_on)
    if known_on.day < monthrange(known_on.year, known_on.month)[1]:
        full -= 1
    watched = max(full - meta.reporting_lag_months, 0)
    # Until its month is over and the reporting lag has passed, its last cash may not be booked.
    is_closed = (
        closed is not None
        and closed <= known_on
        and months_between(cut_off, closed) <= full - meta.reporting_lag_months
    )
    # None stands for the ultimate.
    totals: dict[int | None, float] = dict.fromkeys((*HORIZONS_MONTHS, None), 0.0)
    present = dict.fromkeys(totals, 0.0)
    for one in cash:
        if (
            one.loan != loan
            or one.recorded > known_on
            or one.period is None
            or one.period > known_on
        ):
            continue
        months = months_between(cut_off, one.period)
        worth = (1 + meta.discount_rate) ** (-months / 12)
        for horizon in totals:
            longest = horizon or meta.max_workout_months
            if months > 0 and (longest is None or months <= longest):
                totals[horizon] += one.gross - one.cost
                present[horizon] += (one.gross - one.cost) * worth
    expected: dict[str, Any] = {}
    resolved = is_closed or (
        meta.max_workout_months is not None and watched >= meta.max_workout_months
    )
    for prefix, sums in (("", totals), ("discounted_", present)):
        for months in HORIZONS_MONTHS:
            known = is_closed or watched >= months
            expected[prefix + rate_column(months)] = sums[months] / 1000 if known else None
        expected[prefix + "recovery_rate_ultimate"] = sums[None] / 1000 if resolved else None
    return expected | {"is_resolved": resolved, "observed_months": watched}


months_of_cash = st.integers(-3, 75).map(
    lambda n: date((2020 * 12 + n) // 12, (2020 * 12 + n) % 12 + 1, 1)
)
cents = st.integers(0, 200_000).map(lambda n: n / 100)


@st.composite
def cash_rows(draw: st.DrawFn) -> list[Cash]:
    return [
        Cash(loan, period, gross, cost, period + timedelta(days=late))
        for loan, period, gross, cost, late in draw(
            st.lists(
                st.tuples(
                    st.sampled_from(LOANS), months_of_cash, cents, cents, st.integers(0, 500)
                ),
                max_size=25,
            )
        )
    ]


@given(
    cash=cash_rows(),
    known_on=st.dates(date(2020, 3, 1), OBSERVED),
    closed=st.dictionaries(
        st.sampled_from(LOANS), st.dates(date(2020, 4, 1), date(2026, 6, 30)), max_size=2
    ),
    longest=st.sampled_from([None, 24, 60]),
    lag=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_random_ledgers_against_a_plain_loop(
    cash: list[Cash], known_on: date, closed: dict[str, date], longest: int | None, lag: int
) -> None:
    cut_offs = {"a": CUT_OFF, "b": date(2020, 2, 29), "c": date(2019, 12, 31)}
    found = portfolio(
        cash,
        cut_offs=cut_offs,
        closed=closed,
        max_workout_months=longest,
        reporting_lag_months=lag,
    )
    frame = realised_recovery(found, known_on).collect()
    for loan in LOANS:
        actual = frame.row(by_predicate=pl.col("loan_id") == loan, named=True)
        for name, value in by_loop(found, cash, loan, known_on).items():
            wanted = value if value is None else pytest.approx(value, abs=1e-8)
            assert actual[name] == wanted, (loan, name)


@given(cash=cash_rows(), order=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_sums_do_not_depend_on_the_order_of_the_ledger(cash: list[Cash], order: Any) -> None:
    shuffled = cash.copy()
    order.shuffle(shuffled)
    cut_offs = dict.fromkeys(LOANS, CUT_OFF)
    frames = [
        realised_recovery(portfolio(rows, cut_offs=cut_offs, max_workout_months=60)).collect()
        for rows in (cash, shuffled)
    ]
    assert frames[0].equals(frames[1])


def test_shuffled_simulated_ledger_gives_the_same_bits(simulated: Portfolio) -> None:
    ledger = simulated.ledger.collect().sample(fraction=1.0, shuffle=True, seed=2)
    frames = [
        realised_recovery(simulated.with_tables(simulated.tape, rows)).collect(engine="streaming")
        for rows in (simulated.ledger, ledger.lazy())
    ]
    assert frames[0].equals(frames[1])
    assert frames[0]["loan_id"].equals(simulated.tape.collect()["loan_id"])
