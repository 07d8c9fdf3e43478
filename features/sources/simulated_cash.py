"""The cash of simulated workouts after the cut-off: months, amounts, costs and postings."""

from typing import Final

import numpy as np

from features.ledger import ROUTES
from features.sources.simulated_collateral import JUDGED
from features.sources.simulated_facts import WORKOUT_MONTHS
from features.sources.simulated_loans import month_start
from features.sources.simulated_payments import LedgerRows
from features.sources.simulated_routes import (
    COST_BY_ROUTE,
    COST_SHARE,
    FILING_MONTHS,
    FRUITLESS_SUIT_SHARE,
    MOST_PAYMENTS,
    monthly_timing,
    settlement_start,
)
from features.sources.simulated_truth import (
    IS_LITIGATED,
    filing_fee,
    not_yet_in_suit,
    pay_probability,
    route_key,
    route_tables,
)
from features.sources.simulated_types import Columns, Dates, Floats, Ints
from features.tape import DISPOSALS

SETTLEMENT: Final = ROUTES.index("settlement")
SUIT: Final = ROUTES.index("suit")
NO_ROUTE: Final = -1
LATE_SHARE: Final = 0.05
_LATE_DAYS: Final = (20, 170)
_PROMPT_DAYS: Final = (1, 6)
# Precision of the beta law of what a paying workout brings, by route: lumps scatter less.
_PRECISION: Final = np.array([4.0, 2.0, 5.0, 3.0, 3.0, 6.0, 6.0, 4.0, 4.0])
# Disposal status that a paying workout of each route ends with, the position in `DISPOSALS`.
_ENDS_AS: Final = np.array(
    [
        DISPOSALS.index(name)
        for name in (
            "paid", "written_off", "settled", "written_off", "written_off",
            "auctioned", "dation", "sold", "paid",
        )
    ]
)  # fmt: skip
_WRITTEN_OFF: Final = DISPOSALS.index("written_off")
# Routes that leave nothing to collect: the case closes with the last payment.
_CLOSES_WITH_CASH: Final = ~np.isin(ROUTES, ("collection", "suit", "enforcement"))
_FRUITLESS_CLOSED_EARLY: Final = 0.15


def draw_workouts(
    rng: np.random.Generator, loans: Columns, level: Floats
) -> tuple[Columns, LedgerRows]:
    """Draw the whole workout of a block of loans, to its end.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the block.
    loans : Columns
        The block.
    level : array of float
        Expected gross recovery rate at 60 months, shocks included.

    Returns
    -------
    tuple of (Columns, LedgerRows)
        `closed_date` and `disposal_status` as they turn out in the end; and the rows of the ledger.
    """
    pays = pay_probability(level)
    route = _draw_routes(rng, loans, pays)
    paid = _collections(rng, loans, route, pays)
    fees = _fees(rng, loans, route)
    rows = LedgerRows(
        *(
            np.concatenate([getattr(paid, name), getattr(fees, name)])
            for name in LedgerRows.__dataclass_fields__
        )
    )
    return _endings(rng, loans, route, rows), rows


def _draw_routes(rng: np.random.Generator, loans: Columns, pays: Floats) -> Ints:
    size = len(pays)
    bounds = np.cumsum(route_tables()[0], axis=1)[route_key(loans)]
    taken = (rng.random((size, 1)) >= bounds[:, :-1]).sum(axis=1)
    return np.where(rng.random(size) < pays, taken, NO_ROUTE)


def _collections(
    rng: np.random.Generator, loans: Columns, route: Ints, mean_share: Floats
) -> LedgerRows:
    paying = np.flatnonzero(route != NO_ROUTE)
    path = route[paying]
    mean, precision = mean_share[paying], _PRECISION[path]
    share = rng.beta(mean * precision, (1 - mean) * precision)
    payments = rng.integers(1, MOST_PAYMENTS[path] + 1)
    payment = np.repeat(np.arange(len(paying)), payments)
    first = np.cumsum(payments) - payments
    number = np.arange(len(payment)) - first[payment]
    # Exchangeable parts: each is 1 / n on average, whatever month it falls in.
    part = rng.exponential(1.0, len(payment)) + 0.2
    part /= np.bincount(payment, part)[payment]
    month = _draw_months(rng, loans, paying[payment], path[payment])
    # A settlement's instalments follow its first one month by month.
    settled = path[payment] == SETTLEMENT
    month = np.where(settled, month[first[payment]] + number, month)
    amount = share[payment] * loans["claim_amount"][paying[payment]] * part
    return _rows(rng, loans, *_one_row_a_month(paying[payment], month, amount), route)


def _draw_months(rng: np.random.Generator, loans: Columns, loan: Ints, path: Ints) -> Ints:
    judged = loans["legal_stage"][loan] >= JUDGED
    secured = loans["secured"][loan]
    uniform = rng.random(len(loan))
    month = np.empty(len(loan), dtype=np.int64)
    for position, name in enumerate(ROUTES):
        for is_secured in (False, True):
            for is_judged in (False, True):
                here = (path == position) & (secured == is_secured) & (judged == is_judged)
                timing = (
                    settlement_start(is_secured)
                    if position == SETTLEMENT
                    else monthly_timing(name, is_secured, is_judged)
                )
                cumulative = np.cumsum(timing)
                # Sums of rounded shares may miss one by a hair; no month lies past the last share.
                cumulative[cumulative > 1 - 1e-12] = 1.0
                month[here] = np.searchsorted(cumulative, uniform[here], side="right") + 1
    return month


def _one_row_a_month(loan: Ints, month: Ints, amount: Floats) -> tuple[Ints, Ints, Floats]:
    key, row = np.unique(loan * (WORKOUT_MONTHS + 1) + month, return_inverse=True)
    total = np.bincount(row, amount, minlength=len(key)).astype(np.float64)
    return key // (WORKOUT_MONTHS + 1), key % (WORKOUT_MONTHS + 1), total


def _rows(
    rng: np.random.Generator, loans: Columns, loan: Ints, month: Ints, amount: Floats, route: Ints
) -> LedgerRows:
    share = COST_SHARE[loans["asset_class"][loan]] * COST_BY_ROUTE[route[loan]]
    cost = amount * share * rng.uniform(0.7, 1.3, len(loan))
    paid_on, recorded_on = _posting(rng, loans, loan, month)
    return LedgerRows(
        loan=loan,
        month=month,
        route=route[loan],
        paid_on=paid_on,
        gross_amount=amount.round(2),
        cost_amount=cost.round(2),
        recorded_on=recorded_on,
    )


def _fees(rng: np.random.Generator, loans: Columns, route: Ints) -> LedgerRows:
    """Fees of suits filed after the cut-off: rows of a cost without cash."""
    size = len(route)
    fruitless = rng.random(size) < FRUITLESS_SUIT_SHARE[loans["segment"]]
    sues = np.where(route == NO_ROUTE, fruitless, IS_LITIGATED[route])
    loan = np.flatnonzero(sues & not_yet_in_suit(loans))
    month = rng.integers(1, FILING_MONTHS + 1, len(loan))
    paid_on, recorded_on = _posting(rng, loans, loan, month)
    return LedgerRows(
        loan=loan,
        month=month,
        route=np.full(len(loan), SUIT),
        paid_on=paid_on,
        gross_amount=np.zeros(len(loan)),
        cost_amount=filing_fee(loans)[loan],
        recorded_on=recorded_on,
    )


def _posting(
    rng: np.random.Generator, loans: Columns, loan: Ints, month: Ints
) -> tuple[Dates, Dates]:
    size = len(loan)
    day = rng.integers(0, 28, size).astype("timedelta64[D]")
    paid_on = month_start(loans["snapshot_date"][loan], month) + day
    late = rng.random(size) < LATE_SHARE
    delay = np.where(late, rng.integers(*_LATE_DAYS, size), rng.integers(*_PROMPT_DAYS, size))
    return paid_on, paid_on + delay.astype("timedelta64[D]")


def _endings(rng: np.random.Generator, loans: Columns, route: Ints, rows: LedgerRows) -> Columns:
    size = len(route)
    end = month_start(loans["snapshot_date"], np.full(size, WORKOUT_MONTHS + 1))
    end -= np.timedelta64(1, "D")
    # A case cannot close before its last posting is in the books.
    last = loans["snapshot_date"].copy()
    np.maximum.at(last, rows.loan, rows.recorded_on)
    early = month_start(loans["snapshot_date"], rng.integers(12, WORKOUT_MONTHS, size))
    gives_up = (route == NO_ROUTE) & (rng.random(size) < _FRUITLESS_CLOSED_EARLY)
    done = (route != NO_ROUTE) & _CLOSES_WITH_CASH[route]
    closed = np.where(
        done, last, np.where(gives_up, np.maximum(early, last), np.maximum(end, last))
    )
    return {
        "closed_date": closed,
        "disposal_status": np.where(route == NO_ROUTE, _WRITTEN_OFF, _ENDS_AS[route]),
    }
