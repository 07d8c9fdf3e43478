"""Valuations on record beside the cash that has come since, as the portfolio store knows it.

The record knows loans by their keyed hashes, the store by their identifiers: who holds the key
joins them. Forecasts are those that were given; cash is what the store knew on a day.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from features.age import CUT_OFF
from features.region import region_expression
from models.bundle import Bundle
from models.errors import BundleError
from models.monitoring import LEVEL, LiveForecasts, monitor, vintage_quarter
from models.package_distribution import SharedRisk
from service.errors import ConflictError, NotFoundError
from service.kept_forecasts import RecordedValuation
from service.known_cash import KnownCash, reading
from service.recorded_forecasts import places_by_model, valuations_at

Bundles = Callable[[str], Bundle]
WITHIN, WARNING = "within", "early_warning"
# No month is booked yet; no loan has a forecast above 0, so that there is no band.
TOO_EARLY, INSUFFICIENT = "too_early", "insufficient"
_DIMENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "packages": ("package_id", "model_version"),
    "vintages": ("vintage", "model_version"),
    "models": ("model_version",),
}
# A loan counts once in each of these, with its earliest cut-off.
_ONCE: Final[dict[str, tuple[str, ...]]] = {
    "packages": ("loan_id", "package_id"),
    "vintages": ("loan_id", "vintage"),
    "models": ("loan_id",),
}
_FIGURES: Final = (
    "loans", "months", "forecast_amount", "actual_amount", "low_amount", "high_amount",
    "ratio", "p_value", "warning",
)  # fmt: skip


def package_monitoring(
    package_id: str, valuation: RecordedValuation, bundle: Bundle, known: KnownCash
) -> dict[str, Any]:
    """Realised against forecast cash of one package, month by month.

    Parameters
    ----------
    package_id : str
        The package.
    valuation : RecordedValuation
        What it was valued at.
    bundle : Bundle
        The model that valued it.
    known : KnownCash
        Cash.

    Returns
    -------
    dict
        Plain values. `status` is `within`, `early_warning`, `too_early` (no month is booked yet) or
        `insufficient` (no loan has a forecast above 0, so there is no band); `months` has a row a
        booked month since the first cut-off: `month`, `months` (mean age, by forecast cash),
        `loans`, `forecast_amount`, `actual_amount`, `low_amount`, `high_amount` (alarm band at
        `level`), `ratio`, `p_value`, `warning`.

    Raises
    ------
    NotFoundError
        When the store knows none of the loans.
    ConflictError
        When the model tells no curve, or the store counts in another currency.
    features.errors.PortfolioStoreError
        When the store's files cannot be read.
    """
    _refuse_unlike(bundle, known)
    forecasts, found = _joined([(package_id, valuation)], known)
    if forecasts.is_empty():
        raise NotFoundError(
            f"none of the {found['valued']:,} loans of this package that have a forecast can be"
            " followed in the portfolio store: its identifiers are others, or the loans have not"
            f" been delivered yet ({found['incomplete']:,} lost cash to a bad row)"
        )
    with reading(known.store):
        live = LiveForecasts.of(forecasts, known.portfolio)
    months = _by_month(live, known, bundle)
    return {
        "package_id": package_id,
        "valuation_id": valuation.id,
        "made_at": valuation.entry["made_at"],
        "model_version": bundle.version,
        "model_source": valuation.entry["model_source"],
        "currency": bundle.portfolio.currency,
        "first_cut_off_date": str(forecasts[CUT_OFF].min()),
        "last_cut_off_date": str(forecasts[CUT_OFF].max()),
        **known.document(),
        "loans": found,
        "level": LEVEL,
        "status": _status(months[-1]) if months else TOO_EARLY,
        "months": months,
    }


def overview(
    engine: sa.Engine, data_folder: Path, bundles: Bundles, known: KnownCash
) -> dict[str, Any]:
    """Realised against forecast cash of every valuation on record.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the service.
    data_folder : Path
        Of the service.
    bundles : callable
        Bundle of a model version.
    known : KnownCash
        Cash.

    Returns
    -------
    dict
        Plain values. `packages`, `vintages` (cut-off quarter and model version) and `models` have a
        row a group as `models.monitoring.monitor` tells, with `status` and `adjusted_p_value` (by
        the number of groups with a band, Bonferroni); `alarms` are the groups where that lies below
        1 - `level`. A loan that one model valued several times counts once in `models` and
        `curves`, and once in each vintage, with the earliest cut-off. `curves` has the months of
        each model version; `left_out` what could not be followed, and why.

    Raises
    ------
    features.errors.PortfolioStoreError
        When the store's files cannot be read.
    """
    left_out: list[str] = []
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in _DIMENSIONS}
    curves: dict[str, list[dict[str, Any]]] = {}
    loans = {"valued": 0, "found": 0, "not_found": 0, "incomplete": 0}
    for version, places in sorted(places_by_model(engine).items()):
        try:
            bundle = bundles(version)
            _refuse_unlike(bundle, known)
        except (BundleError, ConflictError) as error:
            left_out.append(f"model {version}: {error}")
            continue
        # One model at a time: together they would be every forecast ever made.
        valuations, unreadable = valuations_at(engine, data_folder, places)
        left_out += unreadable
        if not valuations:
            continue
        forecasts, found = _joined(valuations, known)
        loans = {name: count + found[name] for name, count in loans.items()}
        if forecasts.is_empty():
            continue
        with reading(known.store):
            live = LiveForecasts.of(forecasts, known.portfolio)
        for name, by in _DIMENSIONS.items():
            tables[name].append(_groups(_once(live, name).to_date(), known, bundle, by))
        curves[version] = _by_month(_once(live, "models"), known, bundle)
    told = {name: _judged(parts, _DIMENSIONS[name]) for name, parts in tables.items()}
    return {
        **known.document(),
        "currency": known.store.meta.currency,
        "level": LEVEL,
        "loans": loans,
        **told,
        "alarms": _alarms(told),
        "curves": curves,
        "left_out": left_out,
    }


def _once(live: LiveForecasts, dimension: str) -> LiveForecasts:
    """Forecasts of one model, none of them of a loan that has another in the same group."""
    loans = live.loans
    if dimension == "packages":
        loans = loans.filter(pl.col("package_id") != "")
    first = (
        loans.with_columns(vintage=vintage_quarter())
        .sort(CUT_OFF, maintain_order=True)
        .unique(_ONCE[dimension], keep="first", maintain_order=True)
    )
    return replace(live, loans=first)


def _refuse_unlike(bundle: Bundle, known: KnownCash) -> None:
    if not bundle.model.horizons_months:
        raise ConflictError(
            f"model {bundle.version} tells no curve: it was trained on undated outcomes, and"
            " nothing says what should have come by now"
        )
    ours, theirs = bundle.portfolio.currency, known.store.meta.currency
    if ours != theirs:
        raise ConflictError(f"the valuation is in {ours}, the portfolio store in {theirs}")


def _joined(
    valuations: list[tuple[str, RecordedValuation]], known: KnownCash
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Forecasts under the store's identifiers, and how many loans could be found."""
    told = [
        valuation.forecasts.with_columns(
            package_id=pl.lit(package), model_version=pl.lit(valuation.entry["model_version"])
        )
        for package, valuation in valuations
    ]
    # An answer without a forecast tells no curve.
    forecasts = pl.concat(told, how="diagonal")
    joined = forecasts.rename({"loan_id": "hash"}).join(
        known.loans, on="hash", how="left", maintain_order="left"
    )
    absent, incomplete = joined["loan_id"].null_count(), joined["incomplete"].sum()
    followed = joined.filter(~pl.col("incomplete"))
    whole = followed.with_columns(region=region_expression("borrower_adcode"))
    return whole, {
        "valued": joined.height,
        "found": whole.height,
        "not_found": absent,
        "incomplete": int(incomplete or 0),
    }


def _by_month(live: LiveForecasts, known: KnownCash, bundle: Bundle) -> list[dict[str, Any]]:
    """Cash to date at the end of every booked month since the first cut-off."""
    rows = []
    for month in live.booked_months:
        groups = _groups(live.to_date(month), known, bundle, ("model_version",))
        told = f"{(month - 1) // 12}-{(month - 1) % 12 + 1:02d}"
        rows += [{"month": told} | row for row in groups.select(_FIGURES).to_dicts()]
    return rows


def _groups(
    loans: pl.DataFrame, known: KnownCash, bundle: Bundle, by: tuple[str, ...]
) -> pl.DataFrame:
    uncertainty = bundle.model.uncertainty
    shared = None if uncertainty is None else uncertainty.shared
    return monitor(loans, known.lumps, shared or SharedRisk.none(), by=by)


def _judged(parts: list[pl.DataFrame], by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of all models, each with its standing among them."""
    rows = [row for part in parts for row in part.sort(by).to_dicts()]
    looks = sum(row["p_value"] is not None for row in rows)
    for row in rows:
        adjusted = None if row["p_value"] is None else min(1.0, row["p_value"] * looks)
        row |= {"status": _status(row), "adjusted_p_value": adjusted}
    return rows


def _alarms(told: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"by": name, **{key: row[key] for key in _DIMENSIONS[name]}}
        for name, rows in told.items()
        for row in rows
        if row["p_value"] is not None and row["adjusted_p_value"] < 1 - LEVEL
    ]


def _status(row: dict[str, Any]) -> str:
    if row["p_value"] is None:
        return INSUFFICIENT
    return WITHIN if row["warning"] is None else WARNING
