"""The US mortgage panel published with *Deep Credit Risk* (Roesch and Scheule), a row a quarter.

One row of the tape is one default: the first row of an `id` with `default_time` 1. The panel's
earlier rows give the behaviour up to there; later rows are not looked at.

Periods are de-identified. By convention period 1 is the quarter that ends on 30 June 2000: the
panel's house-price index peaks at 226.29 in period 25, as the Case-Shiller 10-city index did in
the second quarter of 2006, and its unemployment peaks at 10.0 percent in period 39, the fourth
quarter of 2009.

The outcome counts only where `res_time`, the period of resolution, is filled; elsewhere `lgd_time`
is a placeholder and the workout is open. The publisher's `recovery_res` is `(1 - lgd_time) *
balance_time` to the cent, except for a few loans where it is above the balance and `lgd_time` is
held at 0; neither is discounted between default and resolution. The net recovery is taken from
`lgd_time`, so that the realised rate is `1 - lgd_time` exactly (it may be below 0), and from
`recovery_res` only where the file has no `lgd_time`. It is dated in the last month of
the quarter of resolution; a resolution in the very quarter of default is put in the month after
the cut-off, since cash up to the cut-off would not count as recovery.
"""

from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from features.portfolio import PortfolioMeta
from features.sources import parsing
from features.sources.parsing import text
from features.sources.raw import ROW, collect, open_raw
from features.sources.reading import Field, category_field, number_field, read_fields
from features.sources.result import (
    SourceResult,
    account_of,
    conform_tape,
    ledger_of,
    no_ledger,
)
from features.sources.us_mortgage_fields import EXTRA_FIELDS
from features.sources.us_mortgage_terms import (
    period_end,
    with_extra_fields,
    with_history,
    with_series,
    with_terms,
)

REQUIRED: Final = ("id", "time", "default_time", "balance_time", "orig_time", "balance_orig_time")
OUTCOMES: Final = ("res_time", "lgd_time", "recovery_res")
_PERIODS: Final = ("time", "orig_time", "mat_time", "res_time")
_NUMBERS: Final = (
    "default_time",
    "balance_time",
    "balance_orig_time",
    "LTV_time",
    "LTV_orig_time",
    "interest_rate_time",
    "Interest_Rate_orig_time",
    "rate_time",
    "hpi_time",
    "hpi_orig_time",
    "gdp_time",
    "uer_time",
    "REtype_CO_orig_time",
    "REtype_PU_orig_time",
    "REtype_SF_orig_time",
    "investor_orig_time",
    "FICO_orig_time",
    "lgd_time",
    "recovery_res",
)


def _fields() -> tuple[Field, ...]:
    return (
        category_field("id", parse=parsing.identifier),
        *(
            Field(name, parsing.months, "must be a whole period number", "write it as 25")
            for name in _PERIODS
        ),
        *(number_field(name) for name in _NUMBERS),
        category_field("state_orig_time", parse=parsing.us_state),
    )


def read(path: Path) -> SourceResult:
    """Turn the mortgage panel into a portfolio of its defaults.

    Parameters
    ----------
    path : pathlib.Path
        CSV, gzip CSV or parquet with the publisher's columns. Rows without a default give the
        payment history and the house-price series; a file of defaults alone is read too.

    Raises
    ------
    SourceError
        When the file cannot be read or lacks a necessary column.
    """
    raw = open_raw(path, (*REQUIRED, *OUTCOMES))
    fields = _fields()
    optional = [field.source for field in fields if field.source not in REQUIRED]
    columns = raw.select(REQUIRED, optional)
    rows = collect(columns, path)
    blank = rows.select(text("id").is_null() | text("time").is_null()).to_series()
    typed, faults = read_fields(rows.filter(~blank), fields, path.name)
    panel = typed.filter(pl.col("id").is_not_null() & pl.col("time").is_not_null())
    defaults = (
        panel.filter(pl.col("default_time") == 1)
        .sort("time", maintain_order=True)
        .unique("id", keep="first", maintain_order=True)
        .sort(ROW)
    )
    loans = _outcomes(
        with_extra_fields(with_terms(with_series(with_history(defaults, panel), panel)))
    )
    observed_until = _observed_until(panel, loans)
    resolved = loans.filter(pl.col("net_amount").is_not_null())
    others = panel.height - defaults.height
    of_defaulted = panel.join(defaults.select("id"), on="id", how="semi").height - defaults.height
    return SourceResult(
        meta=PortfolioMeta(
            name=f"US mortgage defaults ({path.name})",
            source_system="us_mortgage",
            currency="USD",
            observed_until_date=observed_until,
            recovery_basis="principal",
            recovery_timing="resolution",
            extra_fields=EXTRA_FIELDS,
            notes=_notes(loans, resolved, rows.columns),
        ),
        tape=conform_tape(loans, EXTRA_FIELDS),
        ledger=_ledger(resolved),
        account=account_of(
            rows.height,
            {
                "period of a loan that did not default": others - of_defaulted,
                "other period of a loan that defaulted": of_defaulted,
                "no readable id or time": rows.height - panel.height,
            },
            defaults.height,
        ),
        faults=faults,
    )


def _outcomes(loans: pl.DataFrame) -> pl.DataFrame:
    rate = 1 - pl.col("lgd_time")
    net = pl.coalesce(rate * pl.col("balance_time"), pl.col("recovery_res"))
    resolved = pl.col("res_time").is_not_null() & net.is_not_null()
    # The month after the cut-off at the earliest.
    same_quarter = pl.col("res_time") <= pl.col("time")
    month_after = pl.col("snapshot_date").dt.month_start().dt.offset_by("1mo").dt.month_end()
    closed = pl.when(same_quarter).then(month_after).otherwise(period_end(pl.col("res_time")))
    return loans.with_columns(
        net_amount=pl.when(resolved).then(net),
        closed_date=pl.when(resolved).then(closed),
        disposal_status=pl.when(~resolved)
        .then(pl.lit("open"))
        .when(net >= pl.col("balance_time"))
        .then(pl.lit("paid"))
        .otherwise(pl.lit("settled")),
    )


def _observed_until(panel: pl.DataFrame, loans: pl.DataFrame) -> date:
    """End of the last period seen, as a row or as a resolution."""
    last = panel.select(
        period_end(pl.max_horizontal(pl.col("time").max(), pl.col("res_time").max()))
    )
    known = [day for day in (last.item(), loans["closed_date"].max()) if isinstance(day, date)]
    return max(known, default=date(2000, 6, 30))


def _ledger(resolved: pl.DataFrame) -> pl.DataFrame:
    if resolved.is_empty():
        return no_ledger()
    return ledger_of(
        resolved.select(
            "loan_id",
            pl.col("closed_date").dt.month_start().alias("period"),
            pl.col("net_amount").alias("gross_amount"),
            pl.lit(0.0).alias("cost_amount"),
            pl.col("closed_date").alias("recorded_at"),
        )
    )


def _notes(loans: pl.DataFrame, resolved: pl.DataFrame, columns: list[str]) -> tuple[str, ...]:
    notes = [
        "Periods are de-identified: period 1 is put on the quarter ending 2000-06-30. Months to"
        " resolution are multiples of three.",
        "Recoveries are net of costs and undiscounted; they stand as one payment in the quarter of"
        " resolution.",
        "House prices, GDP and unemployment are the panel's values of the period of default.",
    ]
    absent = [name for name in OUTCOMES[:2] if name not in columns]
    if resolved.is_empty():
        why = f" (no {' and no '.join(absent)} in the file)" if absent else ""
        notes.append(
            f"No resolution is known{why}: the ledger is empty; the tape can be scored, not trained"
            " on or compared."
        )
    elif resolved.height < loans.height:
        notes.append(
            f"{loans.height - resolved.height} of {loans.height} defaults are unresolved: open,"
            " without ledger rows; lgd_time is a placeholder there."
        )
    unknown = int((loans["balance_orig_time"] > 0).not_().sum())
    if unknown:
        notes.append(
            f"{unknown} loans have an original balance of 0: the balance at default stands in for"
            " original_amount."
        )
    return tuple(notes)
