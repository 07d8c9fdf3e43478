"""What a report judges: pairs of forecast and outcome by view, and which is the headline."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import polars as pl

from features.horizons import HORIZONS_MONTHS
from training.backtest import Backtest
from training.errors import TrainingError
from training.report.part import Thresholds

DataView = Literal["watched", "closed", "estimated", "open"]
DATA_VIEWS: Final[tuple[DataView, ...]] = ("watched", "closed", "estimated", "open")
WALK_FORWARD: Final = "walk_forward"
ORIGINAL: Final = "original"
SEGMENTS: Final = (
    "default_vintage",
    "age_band",
    "asset_class",
    "region",
    "exposure_band",
    "guarantee",
)
_PAIR: Final = (
    "loan_id",
    "fold",
    "vintage_date",
    "reference_date",
    "years_in_default",
    "is_resolved",
    "ead_amount",
    *SEGMENTS,
)


def horizon_column(kind: str, months: int | None) -> str:
    """Column of a forecast or an actual rate at a horizon; None is the ultimate.

    Examples
    --------
    >>> horizon_column("actual", 6), horizon_column("forecast", None)
    ('actual_rate_06m', 'forecast_rate')
    """
    return f"{kind}_rate" if months is None else f"{kind}_rate_{months:02d}m"


@dataclass(frozen=True)
class Subject:
    """A backtest with the one view that its headline and its segments speak of.

    Attributes
    ----------
    backtest : Backtest
        Forecasts held against outcomes.
    thresholds : Thresholds
        Limits of the lights.
    """

    backtest: Backtest
    thresholds: Thresholds

    @cached_property
    def window(self) -> str:
        """Window of the headline: expanding where there is one."""
        windows = self._walk_forward["window"].unique().sort().to_list()
        return "expanding" if "expanding" in windows else str(windows[0])

    @cached_property
    def forecasts(self) -> pl.DataFrame:
        """Every forecast; a segment that is not stated is empty text."""
        return self.backtest.forecasts.with_columns(pl.col(SEGMENTS).fill_null(""))

    @property
    def _walk_forward(self) -> pl.DataFrame:
        rows = self.forecasts.filter(
            pl.col("model_view") == WALK_FORWARD, pl.col("forecast_of") == ORIGINAL
        )
        if rows.is_empty():
            raise TrainingError(
                "the backtest has no original walk-forward forecast; there is nothing to judge"
            )
        return rows

    @cached_property
    def loans(self) -> pl.DataFrame:
        """Original walk-forward forecasts of the headline's window: one row a loan.

        Raises
        ------
        TrainingError
            When a loan is forecast twice.
        """
        rows = self._walk_forward.filter(pl.col("window") == self.window).sort("loan_id")
        twice = rows.filter(rows["loan_id"].is_duplicated())
        if twice.height:
            raise TrainingError(
                f"loan {twice['loan_id'][0]} has more than one original walk-forward forecast"
                f" ({twice.height} rows in all); totals would count it twice"
            )
        return rows

    @cached_property
    def horizons(self) -> tuple[int, ...]:
        """Horizons at which any loan has both a forecast and an outcome."""
        return tuple(h for h in HORIZONS_MONTHS if self._both(h) > 0)

    @property
    def horizon_months(self) -> int | None:
        """Horizon of the headline; None is the ultimate of closed loans."""
        return self.backtest.headline_months

    @property
    def data_view(self) -> DataView:
        """Data view of the headline."""
        return "closed" if self.horizon_months is None else "watched"

    @cached_property
    def judged(self) -> pl.DataFrame:
        """Pairs of the headline.

        Raises
        ------
        TrainingError
            When no loan has an outcome.
        """
        pairs = self.pairs(self.loans, self.data_view)
        if pairs.height < 2:
            raise TrainingError(
                f"{pairs.height} of {self.loans.height} forecast loans have an outcome to be held"
                " against; bring a longer ledger or older vintages"
            )
        return pairs

    def pairs(self, rows: pl.DataFrame, view: DataView) -> pl.DataFrame:
        """Forecast and outcome of the rows that have both, in a data view.

        Parameters
        ----------
        rows : polars.DataFrame
            Forecasts of a backtest, one row a loan.
        view : {"watched", "closed", "estimated", "open"}
            watched: every loan watched to the headline's horizon, open or closed; closed: resolved
            loans, ultimate; estimated: all loans, ultimate, with estimated further recoveries of
            the open; open: unresolved loans, cash to date against the forecast to date.

        Returns
        -------
        polars.DataFrame
            Identifiers, segments, `ead_amount`, `forecast` and `actual` (rates, fractions of EAD),
            `forecast_amount` and `actual_amount` (currency).
        """
        forecast, actual = self._columns(view)
        if view == "closed":
            rows = rows.filter("is_resolved")
        elif view == "open":
            rows = rows.filter(~pl.col("is_resolved"))
        return (
            rows.select(*_PAIR, forecast=forecast, actual=actual)
            .drop_nulls(["forecast", "actual"])
            .with_columns(
                # Whole months since year 0: loans of one share its luck.
                vintage_month=pl.col("vintage_date").dt.year().cast(pl.Int64) * 12
                + pl.col("vintage_date").dt.month(),
                forecast_amount=pl.col("forecast") * pl.col("ead_amount"),
                actual_amount=pl.col("actual") * pl.col("ead_amount"),
            )
        )

    def _columns(self, view: DataView) -> tuple[pl.Expr, pl.Expr]:
        if view == "closed":
            return pl.col("forecast_rate"), pl.col("actual_rate")
        if view == "estimated":
            return pl.col("forecast_rate"), pl.col("estimated_rate")
        if view == "watched":
            months = self.horizon_months
            return pl.col(horizon_column("forecast", months)), pl.col(
                horizon_column("actual", months)
            )
        return pl.col("forecast_to_date_rate"), pl.col("actual_to_date_rate")

    def _both(self, months: int) -> int:
        known = pl.col(horizon_column("actual", months)).is_not_null()
        told = pl.col(horizon_column("forecast", months)).is_not_null()
        return int(self.loans.select((known & told).sum()).item())
