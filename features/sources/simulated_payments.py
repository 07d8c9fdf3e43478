"""What borrowers paid in the twelve months up to the cut-off: ledger rows and the tape's sums."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.ledger import ROUTES
from features.sources.simulated_loans import month_start
from features.sources.simulated_types import Columns, Dates, Floats, Ints

WINDOW_MONTHS: Final = 12
# Instalment over the claim, by asset class: an assumption.
_INSTALMENT_RATE: Final = np.array([0.03, 0.03, 0.03, 0.01, 0.006, 0.008, 0.005])
_PAYS_WHEN_CURRENT: Final = 0.95
# Chance a month of a partial payment once overdue, and the share of loans of each such type.
_PAYS_WHEN_OVERDUE: Final = np.array([0.0, 0.10, 0.40])
_OVERDUE_TYPE_BOUNDS: Final = np.array([0.62, 0.86])
_COLLECTOR_COST: Final = 0.1


@dataclass(frozen=True)
class LedgerRows:
    """Rows of a ledger; `loan` is the position in the block, `paid_on` the day of the cash."""

    loan: Ints
    month: Ints  # after the cut-off; 0 and less are before it
    route: Ints
    paid_on: Dates
    gross_amount: Floats
    cost_amount: Floats
    recorded_on: Dates


def draw_payments(rng: np.random.Generator, loans: Columns) -> tuple[Columns, LedgerRows]:
    """Draw the payments of the last twelve months.

    Instalments are paid until the loan falls overdue, and now and then afterwards. All of it was on
    the books by the cut-off, as the tape's own sums are.

    Returns
    -------
    tuple of (Columns, LedgerRows)
        `paid_last_12m`, `last_payment_date`, `last_payment_amount`; and the rows.
    """
    size = len(loans["package"])
    cut_off = loans["snapshot_date"]
    offset = np.arange(1 - WINDOW_MONTHS, 1)
    month = cut_off.astype("datetime64[M]").astype(np.int64)[:, None] + offset
    overdue = loans["first_overdue_date"].astype("datetime64[M]").astype(np.int64)[:, None]
    originated = loans["origination_date"].astype("datetime64[M]").astype(np.int64)[:, None]
    kind = np.searchsorted(_OVERDUE_TYPE_BOUNDS, rng.random(size), side="right")
    chance = np.where(month < overdue, _PAYS_WHEN_CURRENT, _PAYS_WHEN_OVERDUE[kind][:, None])
    pays = (rng.random((size, WINDOW_MONTHS)) < chance) & (month > originated)

    loan, position = np.nonzero(pays)
    instalment = loans["claim_amount"] * _INSTALMENT_RATE[loans["asset_class"]]
    current = (month < overdue)[loan, position]
    share = np.where(current, 1.0, rng.uniform(0.3, 1.2, len(loan)))
    amount = (instalment[loan] * share).round(2)
    day = rng.integers(0, 28, len(loan)).astype("timedelta64[D]")
    paid_on = month_start(cut_off[loan], offset[position]) + day
    delay = rng.integers(0, 4, len(loan)).astype("timedelta64[D]")
    rows = LedgerRows(
        loan=loan,
        month=offset[position],
        route=np.where(current, ROUTES.index("self_cure"), ROUTES.index("collection")),
        paid_on=paid_on,
        gross_amount=amount,
        cost_amount=np.where(current, 0.0, (amount * _COLLECTOR_COST).round(2)),
        recorded_on=np.minimum(paid_on + delay, cut_off[loan]),
    )
    return _sums(rng, loans, rows, instalment), rows


def _sums(
    rng: np.random.Generator, loans: Columns, rows: LedgerRows, instalment: Floats
) -> Columns:
    size = len(instalment)
    # Without a payment in the window, the last one was the instalment before the loan fell overdue.
    before = np.minimum(
        month_start(loans["first_overdue_date"], np.full(size, -1)),
        month_start(loans["snapshot_date"], np.full(size, -WINDOW_MONTHS)),
    )
    last_date = before + rng.integers(0, 28, size).astype("timedelta64[D]")
    never_paid = last_date <= loans["origination_date"]
    last_date[never_paid] = np.datetime64("NaT", "D")
    last_amount = np.where(never_paid, np.nan, instalment.round(2))
    # Rows are in the order of loan and month, so the last assignment is the latest payment.
    last_date[rows.loan] = rows.paid_on
    last_amount[rows.loan] = rows.gross_amount
    paid = np.bincount(rows.loan, rows.gross_amount, minlength=size).round(2)
    return {
        "paid_last_12m": paid,
        "last_payment_date": last_date,
        "last_payment_amount": last_amount,
    }
