"""The walk through the reference dates of a backtest, and what it gathers on the way."""

import time
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from features.age import CUT_OFF
from features.portfolio import Portfolio
from features.targets import TO_DATE
from models.recovery import RecoveryModel
from models.scoring import score_loans
from training.backtest_baselines import baseline_rows, judging
from training.backtest_dates import ReferenceDate
from training.backtest_features import Judging
from training.backtest_folds import Told, Window, forecast_rows, known_then
from training.backtest_intervals import Misses, Spread, package_rows, with_intervals
from training.backtest_loans import loans_at, of_loans, sampled_ids
from training.backtest_run_off import (
    RunOff,
    estimated_rate,
    fit_run_off,
    further_amounts,
    further_of_single_payments,
)
from training.dataset import TrainingSet, training_set
from training.errors import TrainingError
from training.fit import fit_recovery
from training.selection import Choice, choose
from training.settings import FitSettings

# Loans of a reference date at which windows are compared and older loans forecast anew: more
# sharpen nothing, and a million would be scored forty times.
MOST_COMPARED: Final = 20_000
# Loans of a fold that the baselines are judged on.
_MOST_JUDGED: Final = 5_000
# The settings are chosen anew when so many times the loans are there.
_GROWTH: Final = 2
SEED: Final = 20_111_230


@dataclass(frozen=True)
class Held:
    """Loans that are forecast at one date, with what came of them."""

    portfolio: Portfolio
    loans: pl.DataFrame


@dataclass
class Walk:
    """Trains and forecasts date by date; what it has gathered is read at the end.

    Attributes
    ----------
    portfolio : Portfolio
        Checked loans whose cash is whole.
    dates : polars.DataFrame
        From `training.backtest_dates.loan_dates`.
    settings : FitSettings, optional
        Of every fit; None chooses them by what was known.
    current : RecoveryModel, optional
        Today's model; None trains it.
    sliding_years : int
        Vintages of the sliding window.
    """

    portfolio: Portfolio
    dates: pl.DataFrame
    settings: FitSettings | None
    current: RecoveryModel | None
    sliding_years: int
    rows: list[pl.DataFrame] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    baselines: list[dict[str, Any]] = field(default_factory=list)
    chosen: list[dict[str, Any]] = field(default_factory=list)
    packages: list[tuple[pl.DataFrame, Spread | None]] = field(default_factory=list)
    models: dict[int, RecoveryModel] = field(default_factory=dict)
    judged: Judging | None = None
    latest: Held | None = None

    def __post_init__(self) -> None:
        """Begin without a miss."""
        self._misses: dict[Window, Misses] = {
            window: Misses(self.portfolio, SEED) for window in ("expanding", "sliding")
        }
        self._further: list[pl.DataFrame] = []
        self._run_off: RunOff | None = None
        self._choice: tuple[Choice, int] | None = None

    @property
    def dated(self) -> bool:
        """Whether outcomes can be put back in time."""
        return self.portfolio.meta.recovery_timing != "none"

    def begin(self, first: date) -> None:
        """Train today's model, and what it expects of the loans before the first date."""
        meta = self.portfolio.meta
        if self.current is None:
            train = known_then(self.portfolio, self.dates, meta.observed_until_date, None, SEED)
            settings = self.settings or self._noted(choose(train), train, None)
            self.current = fit_recovery(train, settings)
        if meta.recovery_timing == "resolution":
            self._further = [further_of_single_payments(self.portfolio)]
            return
        if meta.recovery_timing == "monthly":
            self._run_off = self._fitted_run_off(self.current)
        before = self._held(self.dates.filter(pl.col(CUT_OFF) <= first)["loan_id"])
        self._today(before, -1)

    def step(self, reference: ReferenceDate) -> None:
        """Train as on a reference date; forecast what came after and what was open on it."""
        block = self._held(self.dates.filter(reference.scores(pl.col(CUT_OFF)))["loan_id"])
        self.latest = block
        self.rows.append(self._today(block, reference.fold))
        older = self._still_open(reference.day)
        if older is not None:
            self._tell(self._told("all", reference, older=True), self._now, older)
        train = known_then(self.portfolio, self.dates, reference.day, None, SEED)
        model = self._window("expanding", reference, train, None, (block, older))
        self.models[reference.fold] = model
        self._judge(reference.fold, model, train, block)
        since = years_before(reference.day, self.sliding_years)
        slid = known_then(self.portfolio, self.dates, reference.day, since, SEED)
        same = slid.features["loan_id"].equals(train.features["loan_id"])
        try:
            known = model if same else None
            self._window("sliding", reference, slid, known, (self._compared(block), older))
        except TrainingError as error:
            # A window too short to learn from is told, not replaced by another.
            self.folds.append(
                self._about(self._told("sliding", reference), reference, slid)
                | {"scored_loans": 0, "seconds": 0.0, "note": str(error)}
            )

    def _window(
        self,
        window: Window,
        reference: ReferenceDate,
        train: TrainingSet,
        model: RecoveryModel | None,
        held: tuple[Held, Held | None],
    ) -> RecoveryModel:
        """Fit where no model is given, and forecast the block and the older loans."""
        started = time.perf_counter()
        if model is None:
            model = fit_recovery(train, self._settings(train))
        block, older = held
        told = self._told(window, reference)
        spread = self._misses[window].spread(reference.day, model.horizons_months)
        rows = self._tell(told, model, block, spread)
        self._misses[window].add(rows)
        if window == "expanding":
            self.packages.append((rows, spread))
        counts = [rows.height]
        if older is not None:
            again = self._tell(self._told(window, reference, older=True), model, older)
            counts.append(again.height)
        seconds = time.perf_counter() - started
        for count, kind in zip(counts, ("original", "reforecast"), strict=False):
            about = self._about(told, reference, train) | {"forecast_of": kind}
            self.folds.append(about | {"scored_loans": count, "seconds": seconds, "note": None})
        return model

    def _tell(
        self, told: Told, model: RecoveryModel, held: Held, spread: Spread | None = None
    ) -> pl.DataFrame:
        """Gather forecasts of one model with intervals and estimates."""
        rows = with_intervals(forecast_rows(told, model, held.portfolio, held.loans), spread)
        rows = self._estimated(rows, held)
        self.rows.append(rows)
        return rows

    def _estimated(self, rows: pl.DataFrame, held: Held) -> pl.DataFrame:
        came = rows.select("loan_id").join(
            held.loans.select("loan_id", TO_DATE), on="loan_id", how="left", maintain_order="left"
        )[TO_DATE]
        estimate = estimated_rate(rows, came, pl.concat(self._further))
        return rows.with_columns(estimate.alias("estimated_rate"))

    def _today(self, held: Held, fold: int) -> pl.DataFrame:
        """Forecasts of today's model, from which the cash still to come is told first."""
        until = self.portfolio.meta.observed_until_date
        told = Told("current_model", "all", "original", fold, until)
        rows = with_intervals(forecast_rows(told, self._now, held.portfolio, held.loans), None)
        if self.portfolio.meta.recovery_timing != "resolution":
            self._further.append(further_amounts(rows, self._run_off))
        return self._estimated(rows, held)

    @property
    def _now(self) -> RecoveryModel:
        if self.current is None:
            raise TrainingError("the walk has not begun")
        return self.current

    def _fitted_run_off(self, model: RecoveryModel) -> RunOff:
        sample = self._held(sampled_ids(self.dates["loan_id"], MOST_COMPARED, SEED))
        scores = score_loans(model, sample.portfolio.tape, sample.portfolio.ledger)
        ultimate = scores["recovery_rate"]
        told = ultimate.is_not_null()
        return fit_run_off(
            sample.loans.filter(told), ultimate.filter(told).to_numpy(), model.horizons_months
        )

    def _settings(self, train: TrainingSet) -> FitSettings:
        """Settings chosen on training loans of the time, anew when they have doubled."""
        if self.settings is not None:
            return self.settings
        loans = train.features.height
        if self._choice is None or loans >= _GROWTH * self._choice[1]:
            self._choice = (choose(train), loans)
            self._noted(self._choice[0], train, train.outcomes["vintage_date"].max())
        return self._choice[0].settings

    def _noted(self, choice: Choice, train: TrainingSet, last: object) -> FitSettings:
        self.chosen.append(
            {
                "newest_vintage": str(last) if last is not None else "today",
                "train_loans": train.features.height,
                "settings": choice.settings.as_document(),
                "evidence": choice.evidence,
            }
        )
        return choice.settings

    def _judge(self, fold: int, model: RecoveryModel, train: TrainingSet, block: Held) -> None:
        test = training_set(self._some(block, _MOST_JUDGED).portfolio, spec=train.spec)
        found = judging(train, test, model)
        if found is not None:
            if self.judged is None or found.tells_more_than(self.judged):
                self.judged = found
            self.baselines += baseline_rows(fold, model, found)

    def _held(self, ids: pl.Series, day: date | None = None) -> Held:
        portfolio = of_loans(self.portfolio, ids)
        return Held(portfolio, loans_at(portfolio, day))

    def _some(self, held: Held, most: int) -> Held:
        if held.loans.height <= most:
            return held
        ids = sampled_ids(held.loans["loan_id"], most, SEED)
        return Held(
            of_loans(held.portfolio, ids),
            held.loans.filter(pl.col("loan_id").is_in(ids.implode())),
        )

    def _compared(self, block: Held) -> Held:
        return self._some(block, MOST_COMPARED)

    def _still_open(self, day: date) -> Held | None:
        """Loans whose workout was open on a day; None where outcomes are undated."""
        whole = self.portfolio.meta.max_workout_months
        open_then = (pl.col(CUT_OFF) <= day) & (
            pl.col("closed_date").is_null() | (pl.col("closed_date") > day)
        )
        if whole is not None:
            open_then &= pl.col(CUT_OFF).dt.offset_by(f"{whole}mo") > day
        ids = self.dates.filter(open_then)["loan_id"]
        if not self.dated or ids.is_empty():
            return None
        return self._held(sampled_ids(ids, MOST_COMPARED, SEED), day)

    def _told(self, window: Window, reference: ReferenceDate, *, older: bool = False) -> Told:
        until = self.portfolio.meta.observed_until_date
        then = self.dated and window != "all"
        return Told(
            "current_model" if window == "all" else "walk_forward",
            window,
            "reforecast" if older else "original",
            reference.fold,
            reference.day if then else until,
        )

    def _about(self, told: Told, reference: ReferenceDate, train: TrainingSet) -> dict[str, Any]:
        vintage = train.outcomes["vintage_date"]
        return {
            "fold": told.fold,
            "window": told.window,
            "forecast_of": told.forecast_of,
            "reference_date": reference.day,
            "known_on": told.known_on,
            "gap_months": self.portfolio.meta.reporting_lag_months if self.dated else None,
            "train_loans": train.features.height,
            "train_from": vintage.min(),
            "train_to": vintage.max(),
        }


def years_before(day: date, years: int) -> date:
    """Return the same month's end some years earlier.

    Examples
    --------
    >>> years_before(date(2024, 6, 30), 3)
    datetime.date(2021, 6, 30)
    """
    earlier: date = pl.Series([day]).dt.offset_by(f"-{years}y").dt.month_end()[0]
    return earlier


def packages_of(walk: Walk, months: int | None) -> pl.DataFrame:
    """Totals of every fold's vintages and packages."""
    return pl.concat(package_rows(rows, spread, months) for rows, spread in walk.packages)
