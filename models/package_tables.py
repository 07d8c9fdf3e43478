"""Tables of a package valuation: each takes the package's loans and gives one small frame."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import polars as pl

from features.horizons import rate_column
from features.spec import FeatureSpec
from models.rounding import apportion

# Dimension of the segment table -> column of the tape it needs.
DIMENSIONS: Final = {
    "asset_class": "asset_class",
    "guarantee_type": "guarantee_type",
    "region": "borrower_adcode",
    "five_category": "five_category",
    "written_off": "written_off",
    "legal_stage": "legal_stage",
}
LOAN_FACTS: Final = ("borrower_id", "asset_class", "guarantee_type", "region")
POINTS: Final = "points_"
_RATE_STEPS: Final = 10
_CENTS: Final = 100


def dimensions_of(present: frozenset[str]) -> tuple[list[str], list[str]]:
    """Dimensions that the columns of a tape allow, and what is said of the others."""
    allowed = [name for name, column in DIMENSIONS.items() if column in present]
    missing = [
        f"split by {name}: the tape has no {column}"
        for name, column in DIMENSIONS.items()
        if column not in present
    ]
    return allowed, missing


def reason_table(loans: pl.DataFrame) -> pl.DataFrame:
    """Loans without a forecast by reason: `reason`, `loans`."""
    return (
        loans.filter(pl.col("reason").is_not_null())
        .group_by("reason")
        .agg(loans=pl.len().cast(pl.Int64))
        .sort(["loans", "reason"], descending=[True, False])
    )


def curve_table(
    scored: pl.DataFrame, horizons_months: tuple[int, ...], ultimate_months: int | None
) -> pl.DataFrame:
    """Expected cash of the package by horizon, with a last row for what comes later, if any."""
    schema = {
        "horizon_months": pl.Int64,
        "cumulative_amount": pl.Float64,
        "cash_amount": pl.Float64,
        "cumulative_rate": pl.Float64,
        "share": pl.Float64,
    }
    if not horizons_months:
        return pl.DataFrame(schema=schema)
    ead, ultimate = float(scored["ead"].sum()), float(scored["expected_recovery_amount"].sum())
    reached: dict[int | None, float] = {
        months: float((scored[rate_column(months)] * scored["ead"]).sum())
        for months in horizons_months
    }
    if horizons_months[-1] != ultimate_months:
        reached[None] = ultimate
    rows, before = [], 0.0
    for horizon, amount in reached.items():
        rate = amount / ead if ead > 0 else None
        share = amount / ultimate if ultimate > 0 else None
        rows.append((horizon, amount, amount - before, rate, share))
        before = amount
    return pl.DataFrame(rows, schema=schema, orient="row")


def segment_table(loans: pl.DataFrame, dimensions: Iterable[str]) -> pl.DataFrame:
    """Loans, exposure and expected recovery by level of each dimension, largest first.

    A level that is null holds the loans that do not state it, rows set aside by a check among
    them, so that every dimension adds up to the package.
    """
    scored = pl.col("reason").is_null()
    # An amount nobody states is missing, not zero.
    claim = pl.when(pl.col("claim_amount").is_not_null().any()).then(pl.col("claim_amount").sum())
    parts = [
        loans.group_by(pl.col(name).cast(pl.String).alias("level"), maintain_order=True)
        .agg(
            loans=pl.len().cast(pl.Int64),
            scored_loans=scored.sum().cast(pl.Int64),
            claim_amount=claim,
            ead_amount=pl.col("ead").filter(scored).sum(),
            expected_recovery_amount=pl.col("expected_recovery_amount").sum(),
        )
        .select(pl.lit(name).alias("dimension"), pl.all())
        .sort(["ead_amount", "loans", "level"], descending=[True, True, False])
        for name in dimensions
    ]
    return pl.concat(parts).with_columns(
        recovery_rate=pl.when(pl.col("ead_amount") > 0).then(
            pl.col("expected_recovery_amount") / pl.col("ead_amount")
        )
    )


_MOVED: Final = {
    "amount": pl.Float64,
    "raising_amount": pl.Float64,
    "lowering_amount": pl.Float64,
}


def factor_table(scored: pl.DataFrame, spec: FeatureSpec | None) -> pl.DataFrame:
    """What each feature adds to the expected recovery, in currency: points x EAD over the loans.

    Parameters
    ----------
    scored : polars.DataFrame
        Scored loans with `points_<feature>`.
    spec : FeatureSpec, optional
        Features of the model; None where the scores are not explained.

    Returns
    -------
    polars.DataFrame
        `group`, `feature`, `amount` = `raising_amount` + `lowering_amount`, `raised_loans`,
        `lowered_loans`, by size of `amount`. Loans that lack the feature's value count too: that
        it is missing is what moves them.
    """
    schema = {
        "group": pl.String,
        "feature": pl.String,
        **_MOVED,
        "raised_loans": pl.Int64,
        "lowered_loans": pl.Int64,
    }
    if spec is None:
        return pl.DataFrame(schema=schema)
    rows = []
    for definition in spec.definitions:
        money = scored[POINTS + definition.name] * scored["ead"]
        up, down = money > 0, money < 0
        raising, lowering = float(money.filter(up).sum()), float(money.filter(down).sum())
        rows.append(
            (
                definition.group,
                definition.name,
                raising + lowering,
                raising,
                lowering,
                int(up.sum()),
                int(down.sum()),
            )
        )
    return _by_size(pl.DataFrame(rows, schema=schema, orient="row"))


def in_cents(
    base_amount: float, factors: pl.DataFrame, expected_amount: float
) -> tuple[float, pl.DataFrame]:
    """Round base and factors so that they add up to the expected recovery to the cent.

    By the largest-remainder rule, from above: base and groups to the expected recovery, the factors
    of a group to the group, what raises and what lowers to the factor.

    Parameters
    ----------
    base_amount : float
        Expected recovery before any feature.
    factors : polars.DataFrame
        From `factor_table`.
    expected_amount : float
        Expected recovery of the package.

    Returns
    -------
    base_amount : float
    factors : polars.DataFrame
        The same rows in the same order, amounts in whole cents.
    """
    by_group = factors.with_row_index("place").partition_by("group", maintain_order=True)
    sums = [float(part["amount"].sum()) for part in by_group]
    ends = apportion(np.array([base_amount, *sums]) * _CENTS, round(expected_amount * _CENTS))
    rounded = []
    for part, end in zip(by_group, ends[1:], strict=True):
        amounts = apportion(part["amount"].to_numpy() * _CENTS, end)
        ways = apportion(
            part.select("raising_amount", "lowering_amount").to_numpy() * _CENTS, amounts
        )
        rounded.append(
            part.with_columns(
                amount=pl.Series(amounts) / _CENTS,
                raising_amount=pl.Series(ways[:, 0]) / _CENTS,
                lowering_amount=pl.Series(ways[:, 1]) / _CENTS,
            )
        )
    return float(ends[0]) / _CENTS, pl.concat(rounded).sort("place").drop("place")


def group_table(factors: pl.DataFrame) -> pl.DataFrame:
    """Sum the factors of each group: `group`, `amount`, `raising_amount`, `lowering_amount`."""
    # A sum of cents is a number of cents: the last bits of the sum are not.
    return _by_size(
        factors.group_by("group", maintain_order=True).agg(
            pl.col(name).sum().round(2) for name in _MOVED
        )
    )


def _by_size(moved: pl.DataFrame) -> pl.DataFrame:
    return moved.sort(pl.col("amount").abs(), descending=True, maintain_order=True)


def flag_table(scored: pl.DataFrame) -> pl.DataFrame:
    """Scored loans by flag: `flag`, `loans`, `ead_amount`; a loan can bear several."""
    return (
        scored.select("ead", flag=pl.col("flags").str.split(";"))
        .explode("flag")
        .filter(pl.col("flag").is_not_null() & (pl.col("flag") != ""))
        .group_by("flag", maintain_order=True)
        .agg(loans=pl.len().cast(pl.Int64), ead_amount=pl.col("ead").sum())
        .sort(["loans", "flag"], descending=[True, False])
    )


def distribution_table(scored: pl.DataFrame) -> pl.DataFrame:
    """Scored loans and EAD by forecast rate, in tenths; below 0 and from 1 on only where any lie.

    Returns
    -------
    polars.DataFrame
        `from_rate` (included; null: no lower end), `to_rate` (excluded; null: no upper end),
        `loans`, `ead_amount`.
    """
    tenth = (pl.col("recovery_rate") * _RATE_STEPS).floor().clip(-1, _RATE_STEPS).cast(pl.Int64)
    held = scored.group_by(tenth.alias("step")).agg(
        loans=pl.len().cast(pl.Int64), ead_amount=pl.col("ead").sum()
    )
    inner = pl.DataFrame({"step": range(_RATE_STEPS)}, schema={"step": pl.Int64})
    step = pl.col("step")
    return (
        inner.join(held, on="step", how="full", coalesce=True)
        .sort("step")
        .select(
            from_rate=pl.when(step >= 0).then(step / _RATE_STEPS),
            to_rate=pl.when(step < _RATE_STEPS).then((step + 1) / _RATE_STEPS),
            loans=pl.col("loans").fill_null(0),
            ead_amount=pl.col("ead_amount").fill_null(0.0),
        )
    )
