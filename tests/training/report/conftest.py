"""Backtests made by hand: every forecast and outcome is a number of the test's own."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.horizons import HORIZONS_MONTHS
from features.portfolio import PortfolioMeta
from training.backtest import Backtest
from training.backtest_features import SCHEMA as FEATURE_SCHEMA
from training.backtest_intervals import PACKAGE_SCHEMA
from training.report.build import build_report
from training.report.schema import Report

MONTHS = 24
REGIONS = [f"CN-{c}" for c in ("GD", "JS", "ZJ", "SH", "BJ", "FJ", "HB", "HN", "SD", "SC")]
SHARES = {6: 0.3, 12: 0.6, 24: 1.0}


def meta(**changes: Any) -> PortfolioMeta:
    return PortfolioMeta.model_validate(
        {
            "name": "by hand",
            "source_system": "test",
            "currency": "CNY",
            "observed_until_date": date(2024, 12, 31),
            "recovery_basis": "claim",
            "recovery_timing": "monthly",
            "max_workout_months": 60,
            "notes": ("made by hand",),
        }
        | changes
    )


def forecasts(loans: pl.DataFrame) -> pl.DataFrame:
    """Rows of a backtest from `loan_id`, `vintage_date`, `ead_amount`, `forecast`, `actual`.

    Both rates are those at 24 months; other columns stand as a test gives them, or are plain.
    """
    plain: dict[str, Any] = {
        "model_view": "walk_forward",
        "window": "expanding",
        "forecast_of": "original",
        "fold": 1,
        "package_id": pl.lit(None, dtype=pl.String),
        "asset_class": "sme",
        "region": "CN-GD",
        "default_vintage": "2017",
        "age_band": "1 to 3 years",
        "exposure_band": "1 to 10 million",
        "guarantee": pl.lit(None, dtype=pl.String),
        "months_since_default": 12.0,
        "years_in_default": 1.0,
        "observed_months": 36,
        "closed_months": pl.lit(None, dtype=pl.Int32),
        "is_resolved": False,
        "to_date_months": 36,
    }
    given = [
        (value if isinstance(value, pl.Expr) else pl.lit(value)).alias(name)
        for name, value in plain.items()
        if name not in loans.columns
    ]
    nothing = pl.lit(None, dtype=pl.Float64)
    rates = [
        (pl.col(kind) * SHARES[h] if h in SHARES else nothing).alias(f"{kind}_rate_{h:02d}m")
        for kind in ("forecast", "actual")
        for h in HORIZONS_MONTHS
    ]
    return loans.with_columns(
        *given,
        *rates,
        reference_date="vintage_date",
        known_on="vintage_date",
        forecast_rate=pl.col("forecast") * 1.2,
        actual_rate=nothing,
        estimated_rate=pl.col("actual") * 1.2,
        forecast_to_date_rate="forecast",
        actual_to_date_rate="actual",
        forecast_p10_rate=pl.col("forecast") * 0.5,
        forecast_p50_rate=pl.col("forecast"),
        forecast_p90_rate=pl.col("forecast") * 1.5,
        interval_months=pl.lit(MONTHS, dtype=pl.Int32),
    ).drop("forecast", "actual")


def made(loans: pl.DataFrame, **changes: Any) -> Backtest:
    """Backtest of loans; the funnel says that all of the tape was forecast."""
    funnel = pl.DataFrame(
        {
            "step": ["forecast", "set aside"],
            "reason": ["workout open", "=1+1"],
            "loans": [loans.height, 3],
            "ead_amount": [float((loans["ead_amount"] * 100).round().sum()) / 100, 10.0],
        }
    )
    features = pl.DataFrame(
        [
            ("ltv", "age", "Loan to value", "抵押率", 0.31, 0.02, 0.2, 0.4, 0.0, False, None),
            ("code", "legal", "Closing <code>", "结案代码", 0.01, 0.02, 0.9, 0.9, 0.0, True, ""),
        ],
        schema=FEATURE_SCHEMA,
        orient="row",
    )  # fmt: skip
    packages = pl.DataFrame(
        [
            (1, "2018", None, 100, 1e4, MONTHS, 5e3, 4e3, 4.5e3, 5e3, 5.5e3),
            (1, "2019", None, 100, 1e4, MONTHS, 5e3, 5.2e3, 4.5e3, 5e3, 5.5e3),
            (1, "2020", None, 100, 1e4, MONTHS, 5e3, None, 4.5e3, 5e3, 5.5e3),
        ],
        schema=PACKAGE_SCHEMA,
        orient="row",
    )
    accuracy = {"loans": 50, "r2": 0.3, "mae": 0.1, "rmse": 0.2, "spearman": 0.5, "deviation": -0.1}
    baselines = pl.DataFrame(
        [
            {"fold": 1, "model": "npl-recovery", **accuracy},
            {"fold": 2, "model": "npl-recovery", **accuracy, "loans": 150, "mae": 0.2},
            {"fold": 1, "model": "overall mean", **accuracy, "rmse": 0.3, "spearman": None},
        ]
    )
    rows = forecasts(loans)
    worst = (
        loans.select(
            "loan_id",
            "ead_amount",
            forecast_rate="forecast",
            actual_rate="actual",
            miss_amount=(pl.col("actual") - pl.col("forecast")) * pl.col("ead_amount"),
            factor_1=pl.lit("ltv"),
            factor_1_value=pl.lit("0.58"),
            factor_1_points=pl.lit(-0.114),
        )
        .sort(pl.col("miss_amount").abs(), "loan_id", descending=[True, False])
        .head(20)
    )
    parts: dict[str, Any] = {
        "meta": meta(),
        "provenance": {
            "command": "npl backtest portfolio --out backtest",
            "data_hash": "ab" * 32,
            "versions": {"polars": "2"},
            "parameters": {"seed": 7},
        },
        "headline_months": MONTHS,
        "forecasts": rows,
        "packages": packages,
        "folds": pl.DataFrame(
            [
                {
                    "fold": 1,
                    "window": "expanding",
                    "reference_date": date(2018, 1, 31),
                    "seconds": 1.0,
                }
            ]
        ),
        "funnel": funnel,
        "features": features,
        "baselines": baselines,
        "reasons": worst,
    }
    return Backtest(**(parts | changes))


def monthly_loans(seed: int = 1, months: int = 72, each: int = 40) -> pl.DataFrame:
    """Loans of many months of vintage in ten regions, actual around forecast without bias."""
    rng = np.random.default_rng(seed)
    count = months * each
    month = np.repeat(np.arange(months), each)
    forecast = rng.uniform(0.1, 0.6, count)
    return pl.DataFrame(
        {
            "loan_id": [f"L{i:05d}" for i in range(count)],
            "vintage_date": [date(2016 + m // 12, m % 12 + 1, 1) for m in month],
            "ead_amount": rng.uniform(800.0, 1_200.0, count),
            "forecast": forecast,
            "actual": forecast * rng.uniform(0.5, 1.5, count),
            "region": np.array(REGIONS)[rng.integers(0, len(REGIONS), count)],
            "asset_class": np.array(["sme", "credit_card"])[rng.integers(0, 2, count)],
            "fold": (month // 24 + 1).astype(np.int32),
        }
    )


@pytest.fixture(scope="session")
def backtest_of() -> Callable[..., Backtest]:
    return made


@pytest.fixture(scope="session")
def loans() -> pl.DataFrame:
    return monthly_loans()


@pytest.fixture(scope="session")
def report(loans: pl.DataFrame) -> Report:
    return build_report(made(loans))
