"""Frames of a block of simulated loans: tape with missing values, ledger, truth and effects."""

from datetime import timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.ledger import ROUTES
from features.portfolio import ExtraField
from features.sources.simulated_borrowers import GRADES, INDUSTRIES
from features.sources.simulated_collateral import JUDGED
from features.sources.simulated_packages import PackagePlan, Places
from features.sources.simulated_payments import LedgerRows
from features.sources.simulated_types import Bools, Columns, Floats, Ints
from features.tape import (
    ASSET_CLASSES,
    BORROWER_TYPES,
    COLLATERAL_TYPES,
    DISPOSALS,
    EMPLOYMENT,
    FIVE_CATEGORIES,
    GUARANTEES,
    INSOLVENCY,
    LEGAL_STAGES,
    OCCUPANCIES,
    Tape,
)

SOURCE_SYSTEM: Final = "synthetic"
CURRENCY: Final = "CNY"
EXTRA_FIELDS: Final = (
    ExtraField(
        name="internal_grade",
        type="category",
        ordered=True,
        levels=GRADES,
        meaning_en="originator's internal grade",
        meaning_zh="出让方内部评级",
    ),
    ExtraField(
        name="house_price_index_change",
        type="number",
        meaning_en="change of the city's house prices over the 36 months before the cut-off",
        meaning_zh="基准日前36个月所在城市房价变动",
        group="region",
        unit="ratio",
    ),
)
# Share of values that real tapes lack, by field; a field that may not be missing is not here.
MISSING_SHARE: Final = {
    "servicer": 0.10,
    "birth_year": 0.04,
    "employment_status": 0.12,
    "annual_income": 0.15,
    "dti": 0.25,
    "credit_score": 0.20,
    "dishonest_flag": 0.05,
    "consumption_restricted": 0.12,
    "insolvency_status": 0.10,
    "contactable": 0.05,
    "maturity_date": 0.03,
    "interest_rate": 0.03,
    "first_overdue_date": 0.08,
    "default_date": 0.03,
    "write_off_date": 0.10,
    "last_payment_date": 0.08,
    "last_payment_amount": 0.10,
    "paid_last_12m": 0.05,
    "forbearance_flag": 0.10,
    "guaranteed_pct": 0.15,
    "lien_rank": 0.03,
    "prior_lien_amount": 0.08,
    "mortgage_registered": 0.06,
    "occupancy": 0.15,
    "area_m2": 0.12,
    "lawsuit_date": 0.08,
    "court_adcode": 0.10,
    "limitation_expiry": 0.25,
    "seizure_rank": 0.15,
    "internal_grade": 0.04,
    "house_price_index_change": 0.02,
}
_CARD_ORIGINATION_MISSING: Final = 0.5
_SELLS_COLLATERAL: Final = (ROUTES.index("auction"), ROUTES.index("dation"))
_POSTED_AT: Final = timedelta(hours=18)
_LEVELS: Final = {
    "borrower_type": BORROWER_TYPES,
    "employment_status": EMPLOYMENT,
    "insolvency_status": INSOLVENCY,
    "asset_class": ASSET_CLASSES,
    "guarantee_type": GUARANTEES,
    "five_category": FIVE_CATEGORIES,
    "collateral_type": COLLATERAL_TYPES,
    "occupancy": OCCUPANCIES,
    "legal_stage": LEGAL_STAGES,
    "disposal_status": DISPOSALS,
    "industry_code": INDUSTRIES,
    "internal_grade": GRADES,
}


def loan_ids(first: int, size: int) -> pl.Series:
    """Identifiers of consecutive loans of the portfolio."""
    return _numbered("L", np.arange(first, first + size))


def _numbered(prefix: str, number: Ints) -> pl.Series:
    return prefix + pl.Series(number).cast(pl.String).str.zfill(9)


def labels(codes: NDArray[Any], levels: tuple[str, ...] | list[str]) -> pl.Series:
    """Return the level at each position; null where the position is negative."""
    position = pl.Series(codes.astype(np.int32))
    return pl.Series(levels, dtype=pl.String).gather(position.set(position < 0, None))


def tape_frame(
    rng: np.random.Generator, loans: Columns, plan: PackagePlan, where: Places, first: int
) -> pl.DataFrame:
    """Return the tape of a block, in the order of the schema, extra fields last.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the missing values.
    loans : Columns
        The block, outcomes included.
    plan : PackagePlan
        The packages.
    where : Places
        Where borrowers live.
    first : int
        Number of the block's first loan in the portfolio.
    """
    size = len(loans["package"])
    place = loans["place"]
    secured = loans["secured"]
    in_court = loans["legal_stage"] >= JUDGED
    fields: dict[str, Any] = {
        "loan_id": loan_ids(first, size),
        "borrower_id": _numbered("B", loans["owner"] + first),
        "package_id": labels(loans["package"], plan.identifier),
        "originator": "Bank " + pl.Series(loans["originator"] + 1).cast(pl.String).str.zfill(2),
        "servicer": "Servicer " + pl.Series(loans["package"] % 7 + 1).cast(pl.String),
        "source_system": pl.repeat(SOURCE_SYSTEM, size, eager=True),
        "currency": pl.repeat(CURRENCY, size, eager=True),
        "borrower_adcode": labels(place, list(where.adcode)),
        "collateral_adcode": labels(np.where(secured, place, -1), list(where.adcode)),
        "court_adcode": labels(np.where(in_court, place, -1), list(where.adcode)),
    }
    extra = [field.name for field in EXTRA_FIELDS]
    columns = {}
    for name in (*Tape.columns(), *extra):
        series = fields[name] if name in fields else _series(name, loans[name])
        columns[name] = _with_missing(rng, name, series)
    card = loans["asset_class"] == ASSET_CLASSES.index("credit_card")
    unknown = card & (rng.random(size) < _CARD_ORIGINATION_MISSING)
    columns["origination_date"] = _blank(columns["origination_date"], unknown)
    return pl.DataFrame(columns)


def _series(name: str, values: NDArray[Any]) -> pl.Series:
    if name in _LEVELS:
        return labels(values, _LEVELS[name])
    if values.dtype.kind == "f":
        series = pl.Series(values, nan_to_null=True)
        whole = Tape.columns()[name].dtype == pl.Int32 if name in Tape.columns() else False
        return series.cast(pl.Int32) if whole else series
    if name in Tape.columns() and Tape.columns()[name].dtype == pl.Boolean:
        flag = pl.Series(values > 0)
        return _blank(flag, values.astype(np.int8) < 0)
    return pl.Series(values)


def _with_missing(rng: np.random.Generator, name: str, series: pl.Series) -> pl.Series:
    share = MISSING_SHARE.get(name, 0.0)
    return _blank(series, rng.random(len(series)) < share) if share else series


def _blank(series: pl.Series, where: Bools) -> pl.Series:
    frame = pl.DataFrame({"value": series, "blank": where})
    return frame.select(pl.when(~pl.col("blank")).then("value")).to_series()


def ledger_frame(parts: tuple[LedgerRows, ...], loans: Columns, first: int) -> pl.DataFrame:
    """Return the ledger of a block, in the order of loan, month and route.

    Parameters
    ----------
    parts : tuple of LedgerRows
        Before and after the cut-off.
    loans : Columns
        The block.
    first : int
        Number of the block's first loan in the portfolio.
    """
    rows = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in LedgerRows.__dataclass_fields__
    }
    from_collateral = np.where(np.isin(rows["route"], _SELLS_COLLATERAL), rows["gross_amount"], 0.0)
    # A loan without collateral has no such part, rather than one of zero.
    from_collateral = np.where(loans["secured"][rows["loan"]], from_collateral, np.nan)
    moved = (rows["gross_amount"] > 0) | (rows["cost_amount"] > 0)
    order = np.lexsort((rows["route"], rows["month"], rows["loan"]))
    order = order[moved[order]]
    frame = pl.DataFrame(
        {
            "loan_id": _numbered("L", rows["loan"][order] + first),
            "period": rows["paid_on"][order].astype("datetime64[M]").astype("datetime64[D]"),
            "gross_amount": rows["gross_amount"][order],
            "collateral_amount": pl.Series(from_collateral[order], nan_to_null=True),
            "cost_amount": rows["cost_amount"][order],
            "route": labels(rows["route"][order], ROUTES).cast(pl.Enum(ROUTES)),
            "recorded_at": rows["recorded_on"][order],
        }
    )
    return frame.with_columns(pl.col("recorded_at").cast(pl.Datetime("us")) + _POSTED_AT)


def rates_frame(columns: dict[str, Floats], first: int) -> pl.DataFrame:
    """Return a frame of numbers a loan, headed by `loan_id`."""
    size = len(next(iter(columns.values())))
    return pl.DataFrame({"loan_id": loan_ids(first, size), **columns})
