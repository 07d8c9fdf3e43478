"""What open workouts are still expected to bring, so that all cases can be judged."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.exposure import EAD
from features.portfolio import Portfolio
from training.backtest_loans import actual_column, forecast_column
from training.dataset import training_set
from training.labels import resolved_or_expected

Array = NDArray[np.float64]
# A thin class is drawn to all loans with the weight of this many (as training.development_fit).
_POOLING_LOANS: Final = 100.0
_POOLED: Final = ""
# A certainty below this says that no workout was ever seen to end so late.
_LEAST_CERTAINTY: Final = 1e-6


@dataclass(frozen=True)
class RunOff:
    """Cash still to come from workouts that are open, as a share of their forecast ultimate.

    Attributes
    ----------
    horizons_months : tuple of int
        From 0 to the end of a workout.
    shares : dict of str to tuple of float
        By asset class and horizon, of workouts open at that horizon; 0 at the last. The empty name
        holds all loans, and serves every class without its own.
    """

    horizons_months: tuple[int, ...]
    shares: dict[str, tuple[float, ...]]

    def still_due(self, asset_class: pl.Series, months: Array) -> Array:
        """Share of the ultimate due after so many months, given that the workout is open."""
        names = asset_class.fill_null(_POOLED).to_list()
        found = np.empty(len(months))
        for name in set(names):
            held = np.array([other == name for other in names])
            own = self.shares.get(name, self.shares[_POOLED])
            found[held] = np.interp(months[held], self.horizons_months, own)
        return found


def fit_run_off(loans: pl.DataFrame, ultimate: Array, horizons_months: tuple[int, ...]) -> RunOff:
    """Fit on workouts of every age, open or closed.

    Of the loans open at one horizon and watched to the next, `a` is the sum of the rates that came
    in between over that of the forecast ultimates, and `s` the share of those forecasts still open
    at the end. What is due from a workout open at a horizon is `a` and `s` times what is due from
    one open at the next: a chain-ladder of open workouts (compare Mack 1993), so that loans that
    paid and closed do not stand for the ones that have not.

    Parameters
    ----------
    loans : polars.DataFrame
        From `training.backtest_loans.loans_at`, at the loans' own cut-offs.
    ultimate : array, shape (loans,)
        Forecast ultimate rates.
    horizons_months : tuple of int
        Of the forecasting model; the last is the end of a workout.
    """
    months = (0, *horizons_months)
    columns = [loans[actual_column(h)].to_numpy() for h in horizons_months]
    rates = np.column_stack([np.zeros(loans.height), *columns])
    watched = loans["observed_months"].to_numpy()
    closed = loans["closed_months"].cast(pl.Float64).fill_null(np.inf).to_numpy()
    classes = loans["asset_class"].fill_null(_POOLED).to_numpy()
    names = sorted({_POOLED, *classes.tolist()})
    shares = {name: np.zeros(len(months)) for name in names}
    for place in range(len(months) - 2, -1, -1):
        seen = (watched >= months[place + 1]) & (closed > months[place])
        came = np.where(seen, rates[:, place + 1] - rates[:, place], 0.0)
        begun = np.where(seen, ultimate, 0.0)
        left = np.where(seen & (closed > months[place + 1]), ultimate, 0.0)
        whole = (came.sum(), begun.sum(), left.sum())
        if whole[1] <= 0:
            continue
        # So many average loans, running off as all do, stand beside the class's own.
        drawn = _POOLING_LOANS / max(int(seen.sum()), 1)
        for name in names:
            held = np.ones(len(classes), dtype=bool) if name == _POOLED else classes == name
            own = [
                float(part[held].sum()) + drawn * float(total)
                for part, total in zip((came, begun, left), whole, strict=True)
            ]
            later = shares[name][place + 1]
            shares[name][place] = max((own[0] + own[2] * later) / own[1], 0.0)
    return RunOff(months, {name: tuple(share.tolist()) for name, share in shares.items()})


def further_amounts(rows: pl.DataFrame, run_off: RunOff | None) -> pl.DataFrame:
    """Cash still expected of every loan that is open, by today's model.

    Parameters
    ----------
    rows : polars.DataFrame
        Today's forecasts at the loans' own cut-offs, from `training.backtest_folds.forecast_rows`.
    run_off : RunOff, optional
        Of dated cash. Without one, an outcome that is not known yet is the forecast itself.

    Returns
    -------
    polars.DataFrame
        `loan_id` and `further_amount` (currency; missing where the model was never watched for a
        whole workout, so that what comes after its curve is not known).
    """
    unresolved = rows.filter(pl.col("is_resolved").not_())
    months = unresolved["observed_months"].cast(pl.Float64).to_numpy()
    share = (
        np.ones(unresolved.height)
        if run_off is None
        else run_off.still_due(unresolved["asset_class"], months)
    )
    due = pl.col(EAD) * pl.col(forecast_column(None)) * pl.Series("share", share)
    return unresolved.select("loan_id", further_amount=due)


def further_of_single_payments(portfolio: Portfolio) -> pl.DataFrame:
    """As `further_amounts`, of workouts that end in one payment.

    What a case open for so long is expected to bring, `training.survival.complete_open`; missing
    where none was ever seen to end so late.
    """
    data = training_set(portfolio)
    rate, certainty = resolved_or_expected(data)
    expected = pl.Series(rate).set(pl.Series(certainty < _LEAST_CERTAINTY), None)
    amounts = data.outcomes.with_columns(further_amount=pl.col(EAD) * expected)
    return amounts.filter(pl.col("is_resolved").not_()).select("loan_id", "further_amount")


def estimated_rate(rows: pl.DataFrame, to_date: pl.Series, further: pl.DataFrame) -> pl.Series:
    """Ultimate rates, of open workouts with what came to date and what is still expected.

    Parameters
    ----------
    rows : polars.DataFrame
        `loan_id`, `ead_amount` (at the reference date) and `actual_rate`.
    to_date : polars.Series
        Cash from the reference date on, fraction of EAD; missing for undated outcomes.
    further : polars.DataFrame
        From `further_amounts`.
    """
    due = rows.select("loan_id").join(further, on="loan_id", how="left", maintain_order="left")
    came = to_date.fill_null(0.0).alias("came")
    later = (due["further_amount"] / rows[EAD]).alias("later")
    # No more can come than is still owed, however large the claim once was.
    owed = pl.max_horizontal(1 - pl.col("came"), 0.0)
    expected = pl.col("came") + pl.when(pl.col("later") > owed).then(owed).otherwise("later")
    return rows.hstack([came, later]).select(pl.coalesce(actual_column(None), expected)).to_series()
