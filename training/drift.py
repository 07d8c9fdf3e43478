"""What changed: features of new vintages, and the champion's forecast against the latest cash."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.age import CUT_OFF
from features.exposure import EAD
from features.months import month_number
from features.pipeline import build_features
from features.portfolio import Portfolio
from features.recent_cash import Window, latest_window, loans_in, net_by_month
from features.spec import FeatureSpec
from models.recovery import RecoveryModel
from training.night_settings import DriftSettings
from training.recent_cash import between, curves_of
from training.validation.thin import LEAST_LOANS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_TENTHS: Final = 10
_YEAR_MONTHS: Final = 12
_DEALS: Final = 499
_SEED: Final = 20_251_125
# It moves with the calendar by what it is.
_CALENDAR: Final = frozenset({"cut_off_time"})


@dataclass(frozen=True)
class FeatureDrift:
    """Stability of one feature.

    Attributes
    ----------
    feature : str
        Its name.
    psi, expected : float
        Index, and what it is on average under no change.
    chance_limit : float
        What chance exceeds with the stated probability, all features considered.
    drifted : bool
        Beyond both the limit set and chance.
    """

    feature: str
    psi: float
    expected: float
    chance_limit: float
    drifted: bool


@dataclass(frozen=True)
class CashDrift:
    """Cash of some months against the champion's forecast of them.

    Attributes
    ----------
    kind : {"sudden", "level"}
        Newest months against the level of those before, or the level of late against the
        forecast.
    segment : str
        Asset class, or `all`.
    first_month, last_month : str
        Months of the cash.
    deviation : float
        (actual - forecast) / forecast, against 0 or against the level; every loan counts alike.
    p_value : float
        Of no deviation, by the scatter of the earlier months.
    drifted : bool
        Beyond both the limit set and chance.
    """

    kind: str
    segment: str
    first_month: str
    last_month: str
    deviation: float
    p_value: float
    drifted: bool


@dataclass(frozen=True)
class Drift:
    """All that was looked at.

    Attributes
    ----------
    features : tuple of FeatureDrift
        The largest index first.
    cash : tuple of CashDrift
        Sudden and level.
    """

    features: tuple[FeatureDrift, ...]
    cash: tuple[CashDrift, ...]

    @property
    def alarms(self) -> list[str]:
        """Each drift in one line."""
        told = [
            f"{one.feature}: PSI {one.psi:.2f}, chance explains {one.chance_limit:.2f}"
            for one in self.features
            if one.drifted
        ]
        return told + [
            f"{one.kind} deviation of cash, {one.segment}, {one.first_month} to {one.last_month}:"
            f" {one.deviation:+.1%}, p {one.p_value:.1e}"
            for one in self.cash
            if one.drifted
        ]

    @property
    def cash_drifted(self) -> bool:
        """Whether any cash drifted."""
        return any(one.drifted for one in self.cash)

    def as_document(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {
            "features": [asdict(one) for one in self.features],
            "cash": [asdict(one) for one in self.cash],
            "alarms": self.alarms,
            "cash_drifted": self.cash_drifted,
        }


def measure_drift(
    champion: RecoveryModel,
    portfolio: Portfolio,
    settings: DriftSettings,
    most_loans: int,
) -> Drift:
    """Hold new vintages and the latest cash against the champion.

    Parameters
    ----------
    champion : RecoveryModel
        The model in force.
    portfolio : Portfolio
        Checked portfolio as known now.
    settings : DriftSettings
        Limits.
    most_loans : int
        Loans looked at, at most, on each side.
    """
    return Drift(
        features=feature_drift(champion.spec, portfolio, settings, most_loans),
        cash=cash_drift(champion, portfolio, settings, most_loans),
    )


def feature_drift(
    spec: FeatureSpec, portfolio: Portfolio, settings: DriftSettings, most_loans: int
) -> tuple[FeatureDrift, ...]:
    """Population stability of the newest vintages against those of the year before.

    Numbers are cut at the tenths of all; a missing value is a class of its own. Loans come in
    packages that resemble each other less than loans of one package do, so what chance gives is
    told by dealing whole packages to both sides at random. Empty where either side has too few
    loans.
    """
    meta = portfolio.meta
    # Vintages come with the night, whatever the reporting lag of cash.
    last = latest_window(meta, 1).last + meta.reporting_lag_months
    recent = Window(last - settings.recent_months + 1, last)
    earlier = recent.before(_YEAR_MONTHS)
    loans = _sampled(portfolio, earlier.eve, recent.end, most_loans)
    is_new = (loans["snapshot_date"] > recent.eve).to_numpy()
    if min(is_new.sum(), (~is_new).sum()) < LEAST_LOANS:
        return ()
    tape = portfolio.tape.join(loans.lazy().select("loan_id"), on="loan_id", how="semi")
    built = build_features(tape, portfolio.ledger, spec).collect(engine="streaming")
    features = loans.select("loan_id").join(built, on="loan_id", maintain_order="left")
    names = [name for name in spec.names if name not in _CALENDAR]
    package = loans.select(pl.struct("package_id", pl.lit(pl.Series(is_new))).rank("dense") - 1)
    place = package.to_series().to_numpy().astype(np.int64)
    new_packages = np.bincount(place, is_new) > 0
    observed, chance = _indices([features[name] for name in names], place, new_packages)
    expected = chance.mean(axis=0)
    # One limit for all features together: the largest of them, each in units of its own mean.
    ratio = chance / np.where(expected > 0, expected, np.inf)
    multiple = float(np.quantile(ratio.max(axis=1), 1 - settings.feature_chance))
    found = [
        FeatureDrift(
            name, float(psi), float(mean), multiple * float(mean),
            bool(psi > max(settings.psi, multiple * mean)),
        )
        for name, psi, mean in zip(names, observed, expected, strict=True)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.psi, one.feature)))


def _sampled(portfolio: Portfolio, after: date, until: date, most_loans: int) -> pl.DataFrame:
    loans = (
        portfolio.tape.filter(pl.col("snapshot_date") > after, pl.col("snapshot_date") <= until)
        .select("loan_id", "package_id", "snapshot_date")
        .sort("loan_id")
        .collect(engine="streaming")
    )
    return loans.sample(most_loans, seed=_SEED) if loans.height > most_loans else loans


def _indices(values: list[pl.Series], place: Ints, new_packages: Bools) -> tuple[Array, Array]:
    """Index of each feature, and those of packages dealt at random, shape (deals, features)."""
    rng = np.random.default_rng(_SEED)
    deals = np.stack([rng.permutation(new_packages) for _ in range(_DEALS)])
    observed, chance = np.empty(len(values)), np.empty((_DEALS, len(values)))
    for number, value in enumerate(values):
        classes = _classes(value)
        table = np.zeros((len(new_packages), classes.max() + 1))
        np.add.at(table, (place, classes), 1.0)
        observed[number] = _psi(table, new_packages[None])[0]
        chance[:, number] = _psi(table, deals)
    return observed, chance


def _classes(values: pl.Series) -> Ints:
    if isinstance(values.dtype, pl.Enum):
        return values.to_physical().cast(pl.Int64).fill_null(-1).to_numpy() + 1
    known = values.drop_nulls().to_numpy()
    tenths = np.linspace(0, 1, _TENTHS + 1)[1:-1]
    edges = np.unique(np.quantile(known, tenths)) if len(known) else np.empty(0)
    places = np.searchsorted(edges, values.fill_null(0.0).to_numpy(), side="left") + 1
    return np.where(values.is_null().to_numpy(), 0, places)


def _psi(table: Array, is_new: Bools) -> Array:
    """Population stability index for each way of dealing packages, shape (ways,)."""
    used = table[:, table.sum(axis=0) > 0]
    now = is_new @ used
    before = used.sum(axis=0) - now
    # Half a loan in every class where one is empty, as `validation.stability` has it.
    empty = ((now == 0) | (before == 0)).any(axis=1)[:, None] * 0.5
    now, before = now + empty, before + empty
    p1, p2 = before / before.sum(axis=1)[:, None], now / now.sum(axis=1)[:, None]
    return np.asarray(((p2 - p1) * np.log(p2 / p1)).sum(axis=1))


def cash_drift(
    champion: RecoveryModel, portfolio: Portfolio, settings: DriftSettings, most_loans: int
) -> tuple[CashDrift, ...]:
    """Newest cash against the months before, and its level, in all and by asset class.

    Rates are summed, every loan counting alike: money in few loans is mostly their luck. What
    chance does is read from the months themselves: a residual over the root of what was expected,
    in units of the standard deviation of the earlier ones (Student's t). Half of the chance goes
    to all loans together, half to the classes (Bonferroni).
    """
    months = settings.cash_months + settings.history_months
    window = latest_window(portfolio.meta, months)
    loans = loans_in(portfolio, window, most_loans)
    if loans.height < LEAST_LOANS:
        return ()
    actual, expected = _by_month(champion, portfolio, loans, window)
    classes = loans["asset_class"].fill_null("").to_numpy()
    segments = {"all": np.ones(len(classes), dtype=bool)} | {
        str(name): classes == name for name in np.unique(classes)
    }
    # Two tests a segment.
    chance = dict.fromkeys(segments, settings.cash_chance / 4 / (len(segments) - 1))
    chance["all"] = settings.cash_chance / 4
    found: list[CashDrift] = []
    for name, of in segments.items():
        came, due = actual[of].sum(axis=0), expected[of].sum(axis=0)
        if of.sum() >= LEAST_LOANS and (due > 0).all():
            found += _tests(name, window, came, due, chance[name], settings)
    return tuple(found)


def _tests(
    segment: str,
    window: Window,
    came: Array,
    due: Array,
    chance: float,
    settings: DriftSettings,
) -> Iterator[CashDrift]:
    early = slice(0, settings.history_months)
    before = came[early].sum() / due[early].sum()
    if before <= 0:
        return
    spread = float(((came - before * due) / np.sqrt(due))[early].std(ddof=1))
    looks = (("sudden", settings.cash_months, before), ("level", settings.level_months, 1.0))
    for kind, months, against in looks:
        late = slice(len(came) - months, None)
        expected = against * due[late].sum()
        deviation = float(came[late].sum() / expected - 1)
        # The months compared scatter by chance, and so does what they are held against: the level
        # before, or the champion's own, which such months have taught it.
        error = spread * np.sqrt(1 / due[late].sum() + 1 / due[early].sum()) / against
        p_value = float(2 * stats.t.sf(abs(deviation) / error, settings.history_months - 1))
        limit = settings.sudden_rate if kind == "sudden" else settings.level_rate
        first = window.last - months + 1
        yield CashDrift(
            kind=kind,
            segment=segment,
            first_month=f"{Window(first, first).end:%Y-%m}",
            last_month=f"{window.end:%Y-%m}",
            deviation=deviation,
            p_value=p_value,
            drifted=bool(abs(deviation) > limit and p_value < chance),
        )


def _by_month(
    champion: RecoveryModel, portfolio: Portfolio, loans: pl.DataFrame, window: Window
) -> tuple[Array, Array]:
    """Realised and expected rates of each loan in each month, shape (loans, months)."""
    months = np.arange(window.first, window.last + 1)
    cash = net_by_month(portfolio, loans, window).join(
        loans.select("loan_id", EAD).with_row_index("row"), on="loan_id"
    )
    actual = np.zeros((loans.height, len(months)))
    places = cash["row"].to_numpy(), cash["month"].to_numpy() - window.first
    actual[places] = (cash["net_amount"] / cash[EAD]).to_numpy()
    _, curve = curves_of(champion, portfolio, loans)
    cut_off = loans.select(month_number(pl.col(CUT_OFF))).to_series().to_numpy()
    longest = loans["to_months"].to_numpy().max()
    ages = [np.clip(month - cut_off, 0, longest) for month in (*(months - 1), months[-1])]
    expected = [between(champion, curve, *pair) for pair in pairwise(ages)]
    return actual, np.stack(expected, axis=1)
