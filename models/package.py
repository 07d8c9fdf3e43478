"""What a package (资产包) is worth and why: totals of the scored loans, none of them lost."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from features import age
from features.frames import AnyFrame, collected
from features.horizons import rate_column
from features.ledger import Ledger
from features.pipeline import prepare_tape
from features.portfolio import PortfolioMeta
from features.region import region_expression
from models import package_tables as tables
from models.errors import ScoringError
from models.package_claim import Announcement, Basis, announcement_of, recovery_bases, total
from models.package_distribution import PackageForecast, package_interval
from models.package_tables import POINTS
from models.recovery import RecoveryModel

_AGES: Final = ("days_past_due", "months_since_default")
LARGEST_LOANS: Final = 10
# Rows that passed the check; those it set aside have nothing but their id and reason.
_PASSED: Final = pl.col("reason").is_null() | pl.col("flags").is_not_null()
# Columns of the scores that hold what is said of a loan, not figures of it.
_TEXTS: Final = ("factor_", "why_")
_CORRECTION: Final = "points_correction"
# Columns that a valuation reads of a prepared tape, beside the loan's id.
_FACTS: Final = (
    "borrower_id", "asset_class", "guarantee_type", "five_category", "written_off", "legal_stage",
    "principal_outstanding", "origination_date", age.CUT_OFF, "claim_amount", "region", *_AGES,
)  # fmt: skip
# Totals tie when they differ by less than half a cent.
_HALF_A_CENT: Final = 0.005
# Base and factors, before they are rounded, relative to all that they move.
_TIES_WITHIN: Final = 1e-6


@dataclass(frozen=True)
class PackageValuation:
    """Value analysis (价值分析) of a package. Amounts in `meta.currency`, rates as fractions.

    Attributes
    ----------
    meta : PortfolioMeta
        Description of the portfolio the package is from.
    package_ids : tuple of str
        Packages on the tape.
    cut_off_dates : tuple of date
        First and last cut-off date (交易基准日).
    loans, scored_loans, unscored_loans : int
        Rows in all, with a forecast and without one.
    borrowers : int
        Distinct borrowers on the tape.
    expected_recovery_amount : float
        Expected ultimate recovery of the scored loans, net of costs, undiscounted.
    bases : tuple of Basis
        The rate on EAD, principal (本金回收率 basis) and principal + interest.
    announcement : Announcement
        Aggregates.
    unscored : polars.DataFrame
        `reason`, `loans`.
    spread : PackageForecast, optional
        Distribution of the recovery of the scored loans, ultimate or by `spread_months`; None where
        the model cannot tell.
    spread_months : int, optional
        Horizon of `spread`; None is the ultimate.
    curve : polars.DataFrame
        `horizon_months` (null: ultimate), `cumulative_amount`, `cash_amount`, `cumulative_rate`,
        `share`; empty where outcomes are undated.
    segments : polars.DataFrame
        `dimension`, `level` (null: not stated), `loans`, `scored_loans`, `claim_amount`,
        `ead_amount`, `expected_recovery_amount`, `recovery_rate`.
    base_amount : float, optional
        Expected recovery if every loan were the average loan of the training portfolio; None
        without explained scores.
    correction_amount : float
        What approved corrections of segments add to the expected recovery; 0 without any.
    factors : polars.DataFrame
        What moves the package away from that: `group`, `feature`, `amount`, `raising_amount`,
        `lowering_amount`, `raised_loans`, `lowered_loans`. Base, `amount` and the correction add up
        to the expected recovery to the cent. Empty without explained scores.
    groups : polars.DataFrame
        The same by factor group; adds up to the cent, too.
    flags : polars.DataFrame
        `flag`, `loans`, `ead_amount`.
    distribution : polars.DataFrame
        Scored loans by forecast rate: `from_rate`, `to_rate`, `loans`, `ead_amount`.
    largest : polars.DataFrame
        The largest scored loans by EAD, as they stand in the scores, with the columns of the tape
        in `package_tables.LOAN_FACTS` that it has.
    left_out : tuple of str
        What is not shown, and why.
    """

    meta: PortfolioMeta
    package_ids: tuple[str, ...]
    cut_off_dates: tuple[date, date]
    loans: int
    scored_loans: int
    unscored_loans: int
    borrowers: int
    expected_recovery_amount: float
    bases: tuple[Basis, ...]
    announcement: Announcement
    unscored: pl.DataFrame
    spread: PackageForecast | None
    spread_months: int | None
    curve: pl.DataFrame
    segments: pl.DataFrame
    base_amount: float | None
    correction_amount: float
    factors: pl.DataFrame
    groups: pl.DataFrame
    flags: pl.DataFrame
    distribution: pl.DataFrame
    largest: pl.DataFrame
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        """Name of the package, or the portfolio's where the tape holds several."""
        return self.package_ids[0] if len(self.package_ids) == 1 else self.meta.name

    @property
    def ead_amount(self) -> float:
        """Exposure of the scored loans."""
        return self.bases[0].amount

    @property
    def recovery_rate(self) -> float | None:
        """Expected recovery over the exposure of the scored loans."""
        return self.bases[0].recovery_rate


def value_package(
    scores: AnyFrame,
    tape: AnyFrame,
    model: RecoveryModel,
    meta: PortfolioMeta,
    cut_off_date: date | None = None,
) -> PackageValuation:
    """Value a package from its scored loans.

    Parameters
    ----------
    scores : polars.LazyFrame or polars.DataFrame
        From `models.scoring.score_loans`, explained where factors are wanted, with the rows that
        a check set aside (`models.unscored.with_unscored`) where there are any. Of a plan, texts
        and points are never all in memory.
    tape : polars.LazyFrame or polars.DataFrame
        The checked rows that were scored; one a loan.
    model : RecoveryModel
        The model that scored them.
    meta : PortfolioMeta
        Description of their portfolio.
    cut_off_date : datetime.date, optional
        As it was given to `score_loans`.

    Raises
    ------
    ScoringError
        When scores and tape are not of the same loans: a package is valued whole or not at all.
    """
    names = scores.collect_schema().names()
    figures = _in_memory(scores.select(n for n in names if n not in _left_in_file(names)))
    whose = _in_memory(tape.select("loan_id", "borrower_id", "package_id"))
    _refuse_lost_loans(figures, whose)
    facts = _loan_facts(tape, meta, cut_off_date)
    # A row that a check set aside may bear the id of a good one: it gets none of its facts.
    loans = figures.join(
        facts,
        left_on=pl.when(_PASSED).then("loan_id"),
        right_on="loan_id",
        how="left",
        maintain_order="left",
    )
    scored = loans.filter(pl.col("reason").is_null())
    present = frozenset(tape.collect_schema().names())
    dimensions, left_out = tables.dimensions_of(present)
    explained = "base_rate" in names
    dated = bool(model.horizons_months)
    expected = total(scored, "expected_recovery_amount")
    correction = round(_correction(scored), 2)
    moved = _scored_points(scores) if explained else scored
    factors = tables.factor_table(moved, model.spec if explained else None)
    base_amount = None
    if explained:
        base_amount = float((scored["base_rate"] * scored["ead"]).sum())
        without = expected - correction
        _refuse_other_factors(base_amount, factors, without)
        base_amount, factors = tables.in_cents(base_amount, factors, without)
    spread = _spread(scored, model)
    dates = loans.select(
        pl.col(age.CUT_OFF).min().alias("first"), pl.col(age.CUT_OFF).max().alias("last")
    ).row(0)
    return PackageValuation(
        meta=meta,
        package_ids=tuple(whose["package_id"].unique().sort()),
        cut_off_dates=dates,
        loans=loans.height,
        scored_loans=scored.height,
        unscored_loans=loans.height - scored.height,
        borrowers=whose["borrower_id"].n_unique(),
        expected_recovery_amount=expected,
        bases=recovery_bases(loans, scored, present),
        announcement=announcement_of(loans),
        unscored=tables.reason_table(loans),
        spread=spread,
        spread_months=model.uncertain_months,
        curve=tables.curve_table(scored, model.horizons_months, model.ultimate_months),
        segments=tables.segment_table(loans, dimensions),
        base_amount=base_amount,
        correction_amount=correction,
        factors=factors,
        groups=tables.group_table(factors),
        flags=tables.flag_table(scored),
        distribution=tables.distribution_table(scored),
        largest=_largest(scores, scored, present),
        left_out=(
            *left_out,
            *_told_correction(scored),
            *_unanswered(present, explained, dated, spread is not None),
        ),
    )


def _left_in_file(names: list[str]) -> set[str]:
    """Columns of the scores that are large, and read for a few loans or one after the other."""
    return {n for n in names if n.startswith((POINTS, *_TEXTS))} - {_CORRECTION}


def _in_memory(frame: AnyFrame) -> pl.DataFrame:
    # In one piece: a sum over pieces is rounded otherwise.
    return collected(frame).rechunk()


def _scored_points(scores: AnyFrame) -> pl.DataFrame:
    scored = scores.filter(pl.col("reason").is_null())
    return _in_memory(scored.select("ead", f"^{POINTS}.*$"))


def _largest(scores: AnyFrame, scored: pl.DataFrame, present: frozenset[str]) -> pl.DataFrame:
    """The largest loans, with the texts that are read for them alone."""
    names = [n for n in scores.collect_schema().names() if not n.startswith(POINTS)]
    facts = [n for n in tables.LOAN_FACTS if tables.DIMENSIONS.get(n, n) in present]
    few = scored.sort(["ead", "loan_id"], descending=[True, False]).head(LARGEST_LOANS)
    theirs = scores.filter(_PASSED & pl.col("loan_id").is_in(few["loan_id"].implode()))
    told = collected(theirs.select("loan_id", *(n for n in names if n.startswith(_TEXTS))))
    joined = few.join(told, on="loan_id", how="left", maintain_order="left")
    return joined.select(*names, *facts)


def _refuse_lost_loans(scores: pl.DataFrame, tape: pl.DataFrame) -> None:
    if scores.is_empty() or tape.is_empty():
        raise ScoringError(
            "the package has no loans that passed the check; there is nothing to value"
        )
    scored = scores.select(pl.when(_PASSED).then("loan_id").drop_nulls())["loan_id"]
    faults: dict[str, Callable[[], pl.Series]] = {
        "stand twice on the tape": lambda: tape["loan_id"].filter(tape["loan_id"].is_duplicated()),
        "are scored twice": lambda: scored.filter(scored.is_duplicated()),
        "are scored but not on the tape": lambda: scored.filter(
            ~scored.is_in(tape["loan_id"].implode())
        ),
        "are on the tape but not in the scores": lambda: tape["loan_id"].filter(
            ~tape["loan_id"].is_in(scored.implode())
        ),
    }
    for fault, find in faults.items():
        found = find()
        if len(found):
            raise ScoringError(
                f"{len(found):,} loans {fault}, the first is {found[0]!r};"
                " value the tape that was scored, whole"
            )


def _refuse_other_factors(base_amount: float, factors: pl.DataFrame, expected: float) -> None:
    """Refuse factors that do not explain the forecast: rounding must not hide it."""
    money = [base_amount, *factors["amount"]]
    explained, size = sum(money), sum(map(abs, money))
    if abs(explained - expected) > _TIES_WITHIN * size:
        raise ScoringError(
            f"base and factors of the scores add up to {explained:,.2f}, not to the expected"
            f" recovery of {expected:,.2f}; score the tape again with --explain"
        )


def _loan_facts(tape: AnyFrame, meta: PortfolioMeta, cut_off_date: date | None) -> pl.DataFrame:
    """Tape with its cut-off, claim, ages and region by the features' own definitions."""
    no_cash = pl.LazyFrame(schema={n: c.dtype for n, c in Ledger.columns().items()})
    ages = {f.name: f.expression for f in age.FEATURES if f.name in _AGES}
    prepared = prepare_tape(tape.lazy(), no_cash, meta.recovery_basis, (), cut_off_date)
    return _in_memory(
        prepared.with_columns(
            claim_amount=pl.col("principal_outstanding") + pl.col("interest_outstanding"),
            region=region_expression("borrower_adcode"),
            **ages,
        ).select("loan_id", *_FACTS)
    )


def _spread(scored: pl.DataFrame, model: RecoveryModel) -> PackageForecast | None:
    known = model.uncertainty
    months = model.uncertain_months
    forecast = scored["recovery_rate" if months is None else rate_column(months)]
    expected = float((scored["ead"] * forecast).sum())
    if known is None or known.shared is None or expected <= 0:
        return None
    return package_interval(
        scored["ead"].to_numpy(),
        forecast.to_numpy(),
        scored.get_column("asset_class", default=pl.repeat("", scored.height, eager=True)),
        scored[age.CUT_OFF if known.vintage_by == "cut_off_date" else "origination_date"],
        scored["region"],
        known.rates,
        known.shared,
    )


def _correction(scored: pl.DataFrame) -> float:
    if _CORRECTION not in scored.columns:
        return 0.0
    return float((scored[_CORRECTION] * scored["ead"]).sum())


def _told_correction(scored: pl.DataFrame) -> list[str]:
    amount = _correction(scored)
    if not amount:
        return []
    loans = scored["correction_id"].count()
    names = ", ".join(scored["correction_id"].drop_nulls().unique().sort())
    return [
        f"factor of the approved corrections {names}: they add {amount:,.2f} over {loans:,} loans,"
        " which is in every total and beside the factors"
    ]


def _unanswered(
    present: frozenset[str], explained: bool, dated: bool, spread_known: bool
) -> list[str]:
    said = []
    if not spread_known:
        said.append(
            "P10 and P90 of the total: too few vintages were forecast, or nothing is expected"
        )
    if "principal_outstanding" not in present:
        said.append("rate on principal: the tape has no principal_outstanding")
    if not {"principal_outstanding", "interest_outstanding"} <= present:
        said.append(
            "principal + interest and the aggregates weighted with it:"
            " the tape does not state both parts"
        )
    if not dated:
        said.append("cash by horizon: the model's outcomes are undated, it knows no timing")
    if not explained:
        said.append("factors in money: the scores are not explained (score with --explain)")
    return said


def tie_out(valuation: PackageValuation) -> pl.DataFrame:
    """Compare each total of a valuation with the sum of its parts.

    Returns
    -------
    polars.DataFrame
        `check`, `total`, `parts`, `difference`, `holds` (within half a cent, counts exactly).
    """
    v = valuation
    expected, ead = v.expected_recovery_amount, v.ead_amount
    pairs: list[tuple[str, float, float]] = [
        (
            "loans = scored + not scored by reason",
            v.loans,
            v.scored_loans + total(v.unscored, "loans"),
        ),
        ("EAD = distribution of rates", ead, total(v.distribution, "ead_amount")),
        ("scored loans = distribution of rates", v.scored_loans, total(v.distribution, "loans")),
    ]
    for (dimension,), part in v.segments.group_by("dimension", maintain_order=True):
        pairs += [
            (f"loans = by {dimension}", v.loans, total(part, "loans")),
            (f"EAD = by {dimension}", ead, total(part, "ead_amount")),
            (
                f"expected recovery = by {dimension}",
                expected,
                total(part, "expected_recovery_amount"),
            ),
        ]
    if not v.curve.is_empty():
        pairs.append(
            ("expected recovery = cash by period", expected, total(v.curve, "cash_amount"))
        )
    if v.base_amount is not None:
        for name, table in (("factors", v.factors), ("groups", v.groups)):
            added = round(v.base_amount + total(table, "amount") + v.correction_amount, 2)
            what = f"expected recovery = base + {name}"
            told = f"{what} + correction" if v.correction_amount else what
            pairs.append((told, round(expected, 2), added))
    frame = pl.DataFrame(pairs, schema=["check", "total", "parts"], orient="row", strict=False)
    difference = pl.col("total") - pl.col("parts")
    return frame.with_columns(difference=difference, holds=difference.abs() < _HALF_A_CENT)
