"""Coverage: how often outcomes lay within their P10 to P90, loan by loan and by package."""

from typing import Any, Final, Literal

import polars as pl
from pydantic import Field
from scipy import stats

from features.horizons import HORIZONS_MONTHS
from training.report.blocks import Block, Column, Figure, Table, Text
from training.report.part import Light, Part, Thresholds
from training.report.rows_chart import Row, rows_chart
from training.report.subject import Subject, horizon_column
from training.report.words import Words
from training.validation.coverage import interval_coverage, pinball_loss
from training.validation.thin import LEAST_LOANS

NOMINAL: Final = 0.8
_SHOWN: Final = 24
_KINDS: Final[tuple[Literal["vintage", "package"], ...]] = ("vintage", "package")
_QUANTILES: Final = ((0.1, "p10"), (0.5, "p50"), (0.9, "p90"))


class LoanCoverage(Part):
    """Coverage of the loans of one asset class, or of all."""

    asset_class: str | None
    loans: int
    coverage_rate: float
    low_rate: float = Field(description="Exact 95% interval, loans counting as independent.")
    high_rate: float
    mean_width: float = Field(description="Rate points.")
    below_p10_rate: float
    above_p90_rate: float
    pinball_loss: float = Field(description="Mean over P10, P50 and P90, rate points.")
    light: Light


class PackageCoverage(Part):
    """One package, or the loans of one vintage period, against its interval."""

    kind: Literal["vintage", "package"]
    package: str
    loans: int
    horizon_months: int | None
    ead_amount: float
    forecast_amount: float
    actual_amount: float
    p10_amount: float | None
    p50_amount: float | None
    p90_amount: float | None
    within: bool | None
    light: Light | None


class Tally(Part):
    """How many vintages, or packages, lie within their interval."""

    kind: Literal["vintage", "package"]
    told: int
    within: int
    low_rate: float = Field(description="Exact 95% interval of the share within.")
    high_rate: float


class Coverage(Part):
    """Coverage of loans and of packages; nominally 80%."""

    loans: tuple[LoanCoverage, ...]
    packages: tuple[PackageCoverage, ...]
    tallies: tuple[Tally, ...]


def figures(subject: Subject) -> Coverage:
    """Coverage of the original walk-forward forecasts."""
    loans = _loans(subject)
    # Vintages in their order, then packages, the largest first.
    table = subject.backtest.packages.drop_nulls("actual_amount").sort(
        pl.col("package_id").is_not_null(),
        pl.when(pl.col("package_id").is_null()).then("vintage_period"),
        -pl.col("ead_amount"),
        "package_id",
    )
    packages = tuple(_package(row, subject.thresholds) for row in table.iter_rows(named=True))
    return Coverage(loans=loans, packages=packages, tallies=_tallies(packages))


def _tallies(packages: tuple[PackageCoverage, ...]) -> tuple[Tally, ...]:
    found = []
    for kind in _KINDS:
        told = [p.within for p in packages if p.kind == kind and p.within is not None]
        if not told:
            continue
        exact = stats.binomtest(sum(told), len(told)).proportion_ci(0.95, method="exact")
        found.append(
            Tally(
                kind=kind,
                told=len(told),
                within=sum(told),
                low_rate=float(exact.low),
                high_rate=float(exact.high),
            )
        )
    return tuple(found)


def _loans(subject: Subject) -> tuple[LoanCoverage, ...]:
    # Each loan at the horizon its own interval speaks of.
    actual = pl.coalesce(
        pl.when(pl.col("interval_months").eq_missing(pl.lit(months))).then(
            pl.col(horizon_column("actual", months))
        )
        for months in (None, *HORIZONS_MONTHS)
    )
    told = (
        subject.loans.select(
            "loan_id",
            "asset_class",
            "forecast_p10_rate",
            "forecast_p50_rate",
            "forecast_p90_rate",
            actual=actual,
        )
        .drop_nulls()
        .rename({f"forecast_{q}_rate": q for _, q in _QUANTILES})
    )
    if told.height < LEAST_LOANS:
        return ()
    sizes = told.filter(pl.col("asset_class") != "").group_by("asset_class").len()
    classes = sizes.filter(pl.col("len") >= LEAST_LOANS)["asset_class"].sort().to_list()
    groups = [(None, told), *((c, told.filter(pl.col("asset_class") == c)) for c in classes)]
    return tuple(_covered(name, rows, subject.thresholds) for name, rows in groups)


def _covered(name: str | None, rows: pl.DataFrame, limits: Thresholds) -> LoanCoverage:
    actual, low, high = (rows[n].to_numpy() for n in ("actual", "p10", "p90"))
    found = interval_coverage(actual, low, high)
    losses = [pinball_loss(actual, rows[q].to_numpy(), p) for p, q in _QUANTILES]
    return LoanCoverage(
        asset_class=name,
        loans=found.loans,
        coverage_rate=found.rate,
        low_rate=found.low,
        high_rate=found.high,
        mean_width=found.mean_width,
        below_p10_rate=float((actual < low).mean()),
        above_p90_rate=float((actual > high).mean()),
        pinball_loss=sum(losses) / len(losses),
        light=_light(found.rate, found.low <= NOMINAL <= found.high, limits),
    )


def _light(rate: float, by_chance: bool, limits: Thresholds) -> Light:
    off = abs(rate - NOMINAL)
    if by_chance or off <= limits.amber_coverage_points:
        return "green"
    return "red" if off > limits.red_coverage_points else "amber"


def _package(row: dict[str, Any], limits: Thresholds) -> PackageCoverage:
    came, forecast, low = row["actual_amount"], row["forecast_amount"], row["p10_amount"]
    package = row["package_id"]
    told = {name: row[name] for name in PackageCoverage.model_fields if name in row}
    return PackageCoverage.model_validate(
        told
        | {
            "kind": "vintage" if package is None else "package",
            "package": row["vintage_period"] if package is None else package,
            "within": None if low is None else low <= came <= row["p90_amount"],
            "light": limits.deviation_light(came / forecast - 1 if forecast > 0 else None),
        }
    )


def blocks(found: Coverage, words: Words) -> list[Block]:
    """Show loans, then packages."""
    shown: list[Block] = [Text(words("coverage.lead"))]
    if found.loans:
        shown.append(_loan_table(found.loans, words))
    else:
        shown.append(Text(words("coverage.no_loans"), "note"))
    if found.packages:
        shown += _package_blocks(found, words)
    return shown


def _loan_table(rows: tuple[LoanCoverage, ...], words: Words) -> Table:
    columns = [
        Column("group", words("column.group")),
        Column("loans", words("column.loans"), "count"),
        Column("coverage_rate", words("column.coverage"), "rate"),
        Column("low_rate", words("column.low"), "rate"),
        Column("high_rate", words("column.high"), "rate"),
        Column("below_p10_rate", words("column.below_p10"), "rate"),
        Column("above_p90_rate", words("column.above_p90"), "rate"),
        Column("mean_width", words("column.width"), "rate"),
        Column("pinball_loss", words("column.pinball"), "figure"),
    ]
    cells = [
        r.model_dump()
        | {
            "group": words("word.all_loans")
            if r.asset_class is None
            else words.level("asset_class", r.asset_class),
            "_strong": r.asset_class is None,
        }
        for r in rows
    ]
    return Table("coverage", words("coverage.loans"), columns, cells)


def _package_blocks(found: Coverage, words: Words) -> list[Block]:
    rows = []
    for p in found.packages:
        deviation = p.actual_amount / p.forecast_amount - 1 if p.forecast_amount > 0 else None
        scale = p.forecast_amount if p.forecast_amount > 0 else None
        low, high = (
            a / scale - 1 if scale and a is not None else None for a in (p.p10_amount, p.p90_amount)
        )
        verdict = words("word.no_interval") if p.within is None else words(
            "word.within" if p.within else "word.outside"
        )  # fmt: skip
        rows.append(
            p.model_dump()
            | {"deviation_rate": deviation, "verdict": verdict, "low": low, "high": high}
        )
    drawn = [
        Row(
            label=str(r["package"]),
            said=f"{words.number('signed', r['deviation_rate'])} {r['verdict']}",
            value=r["deviation_rate"],
            low=r["low"],
            high=r["high"],
            shape="circle" if r["within"] else "square",
            hollow=bool(r["within"]),
        )
        for r in [row for row in rows if row["within"] is not None][:_SHOWN]
    ]
    unit = words.money_unit
    columns = [
        Column("package", words("column.package")),
        Column("loans", words("column.loans"), "count"),
        Column("forecast_amount", words("column.forecast", unit=unit), "money"),
        Column("p10_amount", f"P10 ({unit})", "money"),
        Column("p90_amount", f"P90 ({unit})", "money"),
        Column("actual_amount", words("column.actual", unit=unit), "money"),
        Column("deviation_rate", words("column.deviation"), "signed"),
        Column("verdict", words("column.verdict")),
    ]
    figures: list[Block] = []
    if drawn:
        title = words("coverage.figure")
        drawing = rows_chart(
            "packages", title, drawn, lambda v: words.number("signed0", v), words("axis.deviation")
        )
        figures.append(Figure(title, (drawing,)))
    told = [
        Text(
            words(
                f"coverage.{tally.kind}_lead",
                within=tally.within,
                told=tally.told,
                low=words.number("rate", tally.low_rate),
                high=words.number("rate", tally.high_rate),
            )
        )
        for tally in found.tallies
    ]
    return [
        *told,
        *figures,
        Table("packages", words("coverage.packages"), columns, rows, shown=rows[:_SHOWN]),
        Text(words("coverage.note"), "note"),
    ]
