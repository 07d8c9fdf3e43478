"""Valuations on record beside the cash that has come since, as the portfolio store knows it.

The record knows loans by their keyed hashes, the store by their identifiers: who holds the key
joins them. Forecasts are those that were given; cash is what the store knew on a day.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
import structlog

from features.age import CUT_OFF
from features.errors import PortfolioError, PortfolioStoreError
from features.portfolio import Portfolio
from features.region import region_expression
from features.store import PortfolioStore, open_store
from models.bundle import Bundle
from models.monitoring import LEVEL, LiveForecasts, lumpiness, monitor
from models.package_distribution import SharedRisk
from service.errors import ConflictError, NotFoundError, UnavailableError
from service.identifiers import KeyedHash
from service.kept_forecasts import PACKAGE, RecordedValuation, recorded_valuation
from service.storage import VALUATIONS

Bundles = Callable[[str], Bundle]
WITHIN, WARNING, TOO_EARLY = "within", "early_warning", "too_early"
_log = structlog.get_logger("service.monitoring")
_AT_A_TIME: Final = 200
_DIMENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "packages": ("package_id", "model_version"),
    "vintages": ("vintage", "model_version"),
    "models": ("model_version",),
}
_KEY: Final = ["loan_id", "model_version", CUT_OFF]
_FIGURES: Final = (
    "loans", "months", "forecast_amount", "actual_amount", "low_amount", "high_amount",
    "ratio", "p_value", "warning",
)  # fmt: skip


@dataclass(frozen=True)
class KnownCash:
    """What a portfolio store knew, its loans found by their keyed hashes.

    Attributes
    ----------
    store : PortfolioStore
        The store as it was.
    portfolio : Portfolio
        Its loans but those whose cash is not all known.
    loans : polars.DataFrame
        `loan_id` and `hash` of every loan, `incomplete` where its cash is not all known.
    lumps : polars.DataFrame
        From `models.monitoring.lumpiness`.
    """

    store: PortfolioStore
    portfolio: Portfolio
    loans: pl.DataFrame
    lumps: pl.DataFrame

    @classmethod
    def of(cls, store: PortfolioStore, hashes: KeyedHash) -> "KnownCash":
        """What a store knows.

        Raises
        ------
        features.errors.PortfolioStoreError
            When its files cannot be read.
        features.errors.PortfolioError
            When its cash is not dated, or there is none.
        """
        try:
            ids = store.loan_versions().select(pl.col("loan_id").unique().sort()).collect()
            incomplete = store.incomplete_loans()["loan_id"]
            portfolio = store.portfolio(learnable=True)
            lumps = lumpiness(portfolio)
            if lumps.is_empty():
                raise PortfolioError(
                    f"{store.folder}: no past loan has paid, so nothing tells how lumpy cash is"
                )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise PortfolioStoreError(
                f"{store.folder}: cannot be read ({str(error).splitlines()[0]}); restore the store"
                " from a copy"
            ) from error
        loans = ids.with_columns(
            hash=hashes.hashed(ids)["loan_id"],
            incomplete=pl.col("loan_id").is_in(incomplete.implode()),
        )
        return cls(store, portfolio, loans, lumps)

    def document(self) -> dict[str, Any]:
        """What was known, and when."""
        last = self.store.last
        return {
            "store_commit": last.number,
            "known_at": last.known_at.isoformat(),
            "known_until_date": last.meta.observed_until_date.isoformat(),
            "reporting_lag_months": last.meta.reporting_lag_months,
        }


class KnownCashes:
    """Reads a store once for as long as it stays as it is.

    Parameters
    ----------
    folder : Path, optional
        The store; None where none is set.
    hashes : KeyedHash
        Of the service.
    """

    def __init__(self, folder: Path | None, hashes: KeyedHash) -> None:
        self._folder = folder
        self._hashes = hashes
        self._read: dict[str, KnownCash] = {}
        self._lock = threading.Lock()

    def on(self, as_of: date | None = None) -> KnownCash:
        """What the store knew at the end of a day, by default now.

        Raises
        ------
        ConflictError
            When no store is set, nothing was known then, or its cash tells nothing.
        UnavailableError
            When it cannot be read.
        """
        if self._folder is None:
            raise ConflictError(
                "no portfolio store is set, so later cash is not known here: set NPL_STORE to the"
                " store of 'npl ingest'"
            )
        try:
            store = open_store(self._folder)
            if as_of is not None:
                if store.commits[0].known_at.date() > as_of:
                    raise ConflictError(f"nothing was known on {as_of}")
                store = store.as_of(as_of)
            return self._known(store)
        except PortfolioStoreError as error:
            _log.error("portfolio store", error=str(error))
            told = "the portfolio store cannot be read; tell the operator"
            raise UnavailableError(told) from error
        except PortfolioError as error:
            raise ConflictError("the cash of the portfolio store is not dated or none") from error

    def _known(self, store: PortfolioStore) -> KnownCash:
        with self._lock:
            known = self._read.get(store.digest)
            if known is None:
                known = KnownCash.of(store, self._hashes)
                # The newest knowledge and one of the past.
                self._read = dict([*list(self._read.items())[-1:], (store.digest, known)])
        return known


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
        Plain values. `status` is `within`, `early_warning` or `too_early` (no month is booked yet);
        `months` has a row a booked month since the first cut-off: `month`, `months` (mean age, by
        forecast cash), `loans`, `forecast_amount`, `actual_amount`, `low_amount`, `high_amount`
        (alarm band at `level`), `ratio`, `p_value`, `warning`.

    Raises
    ------
    NotFoundError
        When the store knows none of the loans.
    ConflictError
        When the model tells no curve, or the store counts in another currency.
    """
    _refuse_unlike(bundle, known)
    forecasts, found = _joined([(package_id, valuation)], known)
    if forecasts.is_empty():
        raise NotFoundError(
            f"none of the {found['valued']:,} loans of this package that have a forecast can be"
            " followed in the portfolio store: its identifiers are others, or the loans have not"
            f" been delivered yet ({found['incomplete']:,} lost cash to a bad row)"
        )
    live = LiveForecasts.of(forecasts, known.portfolio)
    months = _by_month(live, known, bundle)
    warned = bool(months) and months[-1]["warning"] is not None
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
        "status": TOO_EARLY if not months else WARNING if warned else WITHIN,
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
        the number of groups, Bonferroni); `alarms` are the groups where that lies below 1 -
        `level`. A loan that one model valued several times counts with its first forecast beyond
        the packages. `curves` has the months of each model version; `left_out` what could not be
        followed, and why.

    Raises
    ------
    models.errors.BundleError
        When a model that served is not kept.
    """
    by_model, left_out = _by_model(engine, data_folder)
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in _DIMENSIONS}
    curves: dict[str, list[dict[str, Any]]] = {}
    loans = {"valued": 0, "found": 0, "not_found": 0, "incomplete": 0}
    for version, valuations in sorted(by_model.items()):
        bundle = bundles(version)
        try:
            _refuse_unlike(bundle, known)
        except ConflictError as error:
            left_out.append(f"model {version}: {error.detail}")
            continue
        forecasts, found = _joined(valuations, known)
        loans = {name: count + found[name] for name, count in loans.items()}
        if forecasts.is_empty():
            continue
        live = LiveForecasts.of(forecasts, known.portfolio)
        of_packages = replace(live, loans=live.loans.filter(pl.col("package_id") != ""))
        once = replace(live, loans=live.loans.unique(_KEY, keep="first", maintain_order=True))
        for name, by in _DIMENSIONS.items():
            own = of_packages if name == "packages" else once
            tables[name].append(_groups(own.to_date(), known, bundle, by))
        curves[version] = _by_month(once, known, bundle)
    told = {name: _judged(parts, _DIMENSIONS[name]) for name, parts in tables.items()}
    return {
        **known.document(),
        "currency": known.store.meta.currency,
        "level": LEVEL,
        "loans": loans,
        **told,
        "alarms": [
            {"by": name, **{key: row[key] for key in _DIMENSIONS[name]}}
            for name, rows in told.items()
            for row in rows
            if row["adjusted_p_value"] < 1 - LEVEL
        ],
        "curves": curves,
        "left_out": left_out,
    }


def _by_model(
    engine: sa.Engine, data_folder: Path
) -> tuple[dict[str, list[tuple[str, RecordedValuation]]], list[str]]:
    """Valuations on record by model version, each with its package; and what cannot be read."""
    found: dict[str, list[tuple[str, RecordedValuation]]] = {}
    left_out = []
    with engine.connect() as connection:
        query = sa.select(VALUATIONS).order_by(VALUATIONS.c.sequence)
        for row in connection.execution_options(yield_per=_AT_A_TIME).execute(query):
            try:
                valuation = recorded_valuation(row, data_folder)
            except ConflictError as error:
                left_out.append(error.detail)
                continue
            if valuation is not None:
                package = valuation.entry["package_id"] if _is_package(valuation) else ""
                of = found.setdefault(valuation.entry["model_version"], [])
                of.append((package, valuation))
    return found, left_out


def _is_package(valuation: RecordedValuation) -> bool:
    return bool(valuation.entry["kind"] == PACKAGE)


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
    return [
        row
        | {
            "status": WITHIN if row["warning"] is None else WARNING,
            "adjusted_p_value": min(1.0, row["p_value"] * len(rows)),
        }
        for row in rows
    ]
