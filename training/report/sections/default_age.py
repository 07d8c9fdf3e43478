"""Best estimates in default at 0, 1, 3, 5 and 7 years: the ELBE and the LGD t-test."""

from typing import Final

import polars as pl
from pydantic import Field

from training.report.blocks import Block, Column, Table, Text
from training.report.part import Light, Part, Thresholds
from training.report.subject import WALK_FORWARD, DataView, Subject
from training.report.words import Words
from training.validation.t_tests import elbe_t_test, lgd_t_test
from training.validation.thin import LEAST_TESTED_LOANS

_YEARS: Final = (0, 1, 3, 5, 7)
# A reference date counts for the anniversary it lies nearest to, within half a year.
_WITHIN_YEARS: Final = 0.5
# What is left of a loan that has paid nearly all is too small to divide by.
_LEAST_LEFT: Final = 0.01


class DefaultAge(Part):
    """t-tests of loss estimates made some years after default."""

    years_in_default: int | None = Field(description="Missing: all loans, at their cut-off.")
    data_view: DataView
    loans: int
    mean_difference: float | None = Field(description="Realised less estimated LGD, rate points.")
    statistic: float | None
    elbe_p_value: float | None = Field(description="Two-sided (ECB 2019, section 2.7).")
    lgd_p_value: float | None = Field(description="One-sided: not underestimated (section 2.6).")
    light: Light | None


class DefaultAges(Part):
    """Tests by years in default."""

    tests: tuple[DefaultAge, ...]
    left_out: int = Field(
        description="Forecasts not tested: less than 1% of the loan's exposure was left."
    )


def figures(subject: Subject) -> DefaultAges:
    """Tests in the headline's view and with estimated further recoveries."""
    first = subject.loans.select("loan_id", original_amount="ead_amount")
    whole = subject.forecasts.filter(
        pl.col("model_view") == WALK_FORWARD, pl.col("window") == subject.window
    ).join(first, on="loan_id", how="left")
    small = pl.col("ead_amount") < _LEAST_LEFT * pl.col("original_amount")
    own = whole.filter(~small.fill_null(False))
    views: tuple[DataView, ...] = tuple(dict.fromkeys((subject.data_view, "closed", "estimated")))
    found = []
    for view in views:
        found.append(_test(subject, subject.loans, view, None))
        for years in _YEARS:
            distance = (pl.col("years_in_default") - years).abs()
            near = (
                own.filter(distance <= _WITHIN_YEARS)
                .sort("loan_id", distance, "reference_date")
                .unique("loan_id", keep="first", maintain_order=True)
            )
            found.append(_test(subject, near, view, years))
    return DefaultAges(
        tests=tuple(row for row in found if row.loans or row.years_in_default is None),
        left_out=whole.height - own.height,
    )


def _test(subject: Subject, rows: pl.DataFrame, view: DataView, years: int | None) -> DefaultAge:
    pairs = subject.pairs(rows, view)
    realised, estimated = 1 - pairs["actual"].to_numpy(), 1 - pairs["forecast"].to_numpy()
    enough = pairs.height >= LEAST_TESTED_LOANS
    two = elbe_t_test(realised, estimated)
    one = lgd_t_test(realised, estimated)
    return DefaultAge(
        years_in_default=years,
        data_view=view,
        loans=pairs.height,
        mean_difference=two.mean if enough else None,
        statistic=two.statistic if enough else None,
        elbe_p_value=two.p_value if enough else None,
        lgd_p_value=one.p_value if enough else None,
        light=_light(two.mean, two.p_value, one.p_value, subject.thresholds) if enough else None,
    )


def _light(
    mean: float | None, two: float | None, one: float | None, limits: Thresholds
) -> Light | None:
    if mean is None or two is None or one is None:
        return None
    if one <= limits.significance and mean >= limits.red_loss_points:
        return "red"
    return "amber" if two <= limits.significance else "green"


def blocks(found: DefaultAges, words: Words, months: int | None) -> list[Block]:
    """Show the tests."""
    columns = [
        Column("data_view", words("column.data_view")),
        Column("years", words("column.years_in_default")),
        Column("loans", words("column.loans"), "count"),
        Column("mean_difference", words("column.loss_difference"), "points"),
        Column("statistic", "T", "figure"),
        Column("elbe_p_value", words("column.p_two_sided"), "p"),
        Column("lgd_p_value", words("column.p_one_sided"), "p"),
    ]
    cells = []
    for row in found.tests:
        years = words("default_age.all")
        if row.years_in_default is not None:
            years = words("default_age.years", years=row.years_in_default)
        cell = row.model_dump() | {
            "data_view": words(f"data_view.short_{row.data_view}", months=months),
            "years": years,
        }
        if row.mean_difference is None:
            cell["mean_difference"] = words("word.too_few")
        cells.append(cell)
    return [
        Text(words("default_age.lead")),
        Table("default-age", words("default_age.table"), columns, cells),
        Text(words("default_age.note", left_out=words.number("count", found.left_out)), "note"),
    ]
