"""The one feature path: tape and ledger in, feature frame out, for training and serving alike."""

import hashlib
import threading
from datetime import date
from functools import lru_cache
from typing import Final

import polars as pl

from features import age, borrower, collateral, exposure, legal, payments, region
from features.errors import PortfolioError, SpecError
from features.feature import Feature
from features.flags import learn_seen
from features.frames import AnyFrame, Frame, collected, known_empty
from features.ledger import Ledger
from features.portfolio import ExtraField, PortfolioMeta, RecoveryBasis
from features.spec import FeatureDefinition, FeatureSpec
from features.tape import OUTCOME_FIELDS, tape_dtypes

CANONICAL: Final[tuple[Feature, ...]] = (
    *exposure.FEATURES,
    *borrower.FEATURES,
    *age.FEATURES,
    *region.FEATURES,
    *payments.FEATURES,
    *collateral.FEATURES,
    *legal.FEATURES,
)

# A level borne by fewer loans says more about those loans than about the next ones.
MIN_LEVEL_LOANS: Final = 20
UNSEEN: Final = "unseen"
_RAW: Final = "__raw_"
_HASHING: Final = threading.Lock()


def build_features(
    tape: pl.LazyFrame,
    ledger: pl.LazyFrame,
    spec: FeatureSpec,
    cut_off_date: date | None = None,
) -> pl.LazyFrame:
    """Features of each loan as of its cut-off, from nothing known later.

    Parameters
    ----------
    tape : polars.LazyFrame
        One row a loan; absent optional columns count as missing. Outcome fields are not read.
    ledger : polars.LazyFrame
        Cash of these loans. Rows received or recorded after the cut-off change nothing.
    spec : FeatureSpec
        Which features, with their vocabularies.
    cut_off_date : datetime.date, optional
        One cut-off for all loans, no earlier than any tape date. By default each loan's own
        `snapshot_date`.

    Returns
    -------
    polars.LazyFrame
        `loan_id` and the features in the order of `spec`, in the row order of `tape`; categories
        as `Enum`, the rest as Float64. A value outside a vocabulary is missing.

    Raises
    ------
    SpecError
        When the tape lacks an extra field that the specification asks for.
    PortfolioError
        When `cut_off_date` lies before a tape date: the tape was not known then.
    """
    return build_scoring_frame(tape, ledger, spec, cut_off_date).drop(exposure.EAD, UNSEEN)


def build_scoring_frame(
    tape: Frame,
    ledger: Frame,
    spec: FeatureSpec,
    cut_off_date: date | None = None,
) -> Frame:
    """Features with what a scored row needs beside them.

    Parameters
    ----------
    tape, ledger, spec, cut_off_date
        As for `build_features`; both tables in memory, or both plans.

    Returns
    -------
    polars.LazyFrame or polars.DataFrame
        `loan_id`, `ead_amount`, `unseen` (names of the features whose value is outside the
        vocabulary) and the features as `build_features` gives them.

    Raises
    ------
    SpecError, PortfolioError
        As `build_features`.
    """
    prepared = prepare_tape(tape, ledger, spec.basis, spec.extra_fields, cut_off_date)
    values, coded, told = _known_steps(spec)
    return prepared.select(values).with_columns(coded).select(told)


def _steps(spec: FeatureSpec) -> tuple[list[pl.Expr], list[pl.Expr], list[pl.Expr]]:
    """Values of the features, their codes, and the scoring frame, each from the step before.

    In steps, so that no expression holds another one twice, and once a specification: to put
    expressions together and plan them costs more than to work them out for one loan.
    """
    raw = _raw_expressions(spec.extra_fields)
    loan = [pl.col("loan_id"), pl.col(exposure.EAD)]
    worded = [d for d in spec.definitions if d.kind in ("category", "ordered")]
    numbers = [d.name for d in spec.definitions if d not in worded]
    values = [
        *(raw[name].cast(pl.Float64).alias(name) for name in numbers),
        *(raw[d.name].cast(pl.String).alias(_RAW + d.name) for d in worded),
    ]
    # One expression over all numbers: each by itself takes as long as all of them.
    coded = [_finite(pl.col(numbers))] if numbers else []
    coded += [_encoded(pl.col(_RAW + d.name), d).alias(d.name) for d in worded]
    outside = [
        pl.when(pl.col(_RAW + d.name).is_not_null() & pl.col(d.name).is_null()).then(pl.lit(d.name))
        for d in worded
    ]
    nothing = pl.lit(None, dtype=pl.String)
    unseen = pl.concat_list(nothing, *outside).list.drop_nulls().alias(UNSEEN)
    return [*loan, *values], coded, [*loan, unseen, pl.col(spec.names)]


_known_steps = lru_cache(maxsize=16)(_steps)


def learn_spec(
    tape: pl.LazyFrame, ledger: pl.LazyFrame, meta: PortfolioMeta, cut_off_date: date | None = None
) -> FeatureSpec:
    """Specification of all features that a training tape can feed.

    Open vocabularies (regions, industries, originators, undeclared levels of extra fields) are
    the values that at least `MIN_LEVEL_LOANS` loans of the tape bear, sorted; a rarer value is
    scored like an unseen one. Features without two different values are left out. What was seen of
    the rest is kept for the flags of a score.
    """
    raw = _raw_expressions(meta.extra_fields)
    prepared = prepare_tape(tape, ledger, meta.recovery_basis, meta.extra_fields, cut_off_date)
    candidates = _definitions(meta.extra_fields)
    definitions = [
        d.model_copy(update={"levels": _frequent_values(prepared, raw[d.name])})
        if d.kind == "category" and not d.levels
        else d
        for d in candidates
    ]
    varied = prepared.select(
        (_encoded(raw[d.name], d).n_unique() > 1).alias(d.name) for d in definitions
    ).collect(engine="streaming")
    used = tuple(d for d in definitions if varied[d.name][0])
    names = {d.name for d in used}
    spec = FeatureSpec(
        basis=meta.recovery_basis,
        # A model asks for the extra fields it reads, not for those that told it nothing.
        extra_fields=tuple(extra for extra in meta.extra_fields if extra.name in names),
        definitions=used,
    )
    values, coded, _ = _steps(spec)
    return learn_seen(prepared.select(values).with_columns(coded), _RAW, spec)


def _frequent_values(prepared: pl.LazyFrame, raw: pl.Expr) -> tuple[str, ...]:
    counts = (
        prepared.select(value=raw.cast(pl.String))
        .filter(pl.col("value").is_not_null(), pl.col("value") != region.UNKNOWN_REGION)
        .group_by("value")
        .len()
        .filter(pl.col("len") >= MIN_LEVEL_LOANS)
        .sort("value")
        .collect(engine="streaming")
    )
    return tuple(counts["value"])


def prepare_tape(
    tape: Frame,
    ledger: Frame,
    basis: RecoveryBasis,
    extra_fields: tuple[ExtraField, ...],
    cut_off_date: date | None = None,
) -> Frame:
    """Tape with every canonical column present, its cut-off, clocks, past cash and exposure.

    Outcome fields are dropped here, so that nothing downstream can read them.

    Raises
    ------
    SpecError, PortfolioError
        As `build_features`.
    """
    found = tape.collect_schema()
    absent = [extra.name for extra in extra_fields if extra.name not in found]
    if absent:
        raise SpecError(
            f"the tape lacks the extra fields {', '.join(absent)} that the features need;"
            " deliver them as columns of those names"
        )
    _refuse_early_cut_off(tape, cut_off_date)
    cut_off = pl.col("snapshot_date") if cut_off_date is None else pl.lit(cut_off_date)
    dtypes = _read_dtypes(extra_fields)
    # By name and whether the type is right: types themselves are slow to hash.
    known: tuple[tuple[str, bool], ...] = tuple(
        (name, dtype == dtypes[name]) for name, dtype in found.items() if name in dtypes
    )
    read = tape.select(_tape_columns(known, extra_fields))
    dated = read.with_columns(cut_off.alias(age.CUT_OFF)).with_columns(age.CLOCKS)
    if known_empty(ledger):
        # Joined with nothing: a request without a ledger need not wait for it.
        paid = dated.with_columns(payments.NOTHING_KNOWN)
    else:
        behaviour = payments.ledger_behaviour(
            ledger, dated.select("loan_id", "snapshot_date", age.CUT_OFF)
        )
        paid = dated.join(behaviour, on="loan_id", how="left", maintain_order="left")
    return paid.with_columns(pl.col(exposure.PAID_SINCE_SNAPSHOT).fill_null(0.0)).with_columns(
        exposure.ead_expression(basis).alias(exposure.EAD)
    )


@lru_cache(maxsize=16)
def _read_dtypes(extra_fields: tuple[ExtraField, ...]) -> dict[str, pl.DataType]:
    """Every canonical column but the outcomes, and the extras."""
    dtypes = {n: t for n, t in tape_dtypes().items() if n not in OUTCOME_FIELDS}
    return dtypes | {extra.name: extra.dtype for extra in extra_fields}


@lru_cache(maxsize=64)
def _tape_columns(
    found: tuple[tuple[str, bool], ...], extra_fields: tuple[ExtraField, ...]
) -> list[pl.Expr]:
    """Columns to be read, in their type; missing where the tape lacks them."""
    present = dict(found)
    ready = [name for name, right in found if right]
    other = [
        (pl.col(name).cast(dtype) if name in present else pl.lit(None, dtype=dtype)).alias(name)
        for name, dtype in _read_dtypes(extra_fields).items()
        if not present.get(name)
    ]
    return [pl.col(ready), *other] if ready else other


def _refuse_early_cut_off(tape: AnyFrame, cut_off_date: date | None) -> None:
    if cut_off_date is None:
        return
    newest = collected(tape.select(pl.col("snapshot_date").max())).item()
    if newest is not None and cut_off_date < newest:
        raise PortfolioError(
            f"cut_off_date {cut_off_date} lies before the newest snapshot_date {newest};"
            " a tape can only be valued on or after its own date"
        )


def _definitions(extra_fields: tuple[ExtraField, ...]) -> list[FeatureDefinition]:
    canonical = [
        FeatureDefinition(
            name=f.name,
            group=f.group,
            kind=f.kind,
            unit=f.unit,
            levels=f.levels,
            direction=f.direction,
            meaning_en=f.meaning_en,
            meaning_zh=f.meaning_zh,
        )
        for f in CANONICAL
    ]
    extras = [
        FeatureDefinition(
            name=x.name,
            group=x.group,
            kind="ordered" if x.ordered else x.type,
            unit=x.unit,
            levels=x.levels,
            direction=x.direction,
            meaning_en=x.meaning_en,
            meaning_zh=x.meaning_zh,
        )
        for x in extra_fields
    ]
    clash = sorted({f.name for f in CANONICAL} & {x.name for x in extra_fields})
    if clash:
        raise SpecError(
            f"extra fields {', '.join(clash)} bear the name of a built-in feature: rename them"
        )
    return canonical + extras


def _raw_expressions(extra_fields: tuple[ExtraField, ...]) -> dict[str, pl.Expr]:
    return {f.name: f.expression for f in CANONICAL} | {
        x.name: pl.col(x.name) for x in extra_fields
    }


def _encoded(raw: pl.Expr, definition: FeatureDefinition) -> pl.Expr:
    if definition.kind == "category":
        return raw.cast(pl.String).cast(pl.Enum(definition.levels), strict=False)
    if definition.kind == "ordered":
        level = raw.cast(pl.String).cast(pl.Enum(definition.levels), strict=False)
        return level.to_physical().cast(pl.Float64)
    return _finite(raw.cast(pl.Float64))


def _finite(number: pl.Expr) -> pl.Expr:
    return pl.when(number.is_finite()).then(number)


def formula_hash(spec: FeatureSpec) -> str:
    """SHA-256 of the query that makes the features, so that a changed formula is noticed."""
    tape = pl.LazyFrame(
        schema=tape_dtypes() | {extra.name: extra.dtype for extra in spec.extra_fields}
    )
    ledger = pl.LazyFrame(schema={n: c.dtype for n, c in Ledger.columns().items()})
    prepared = prepare_tape(tape, ledger, spec.basis, spec.extra_fields)
    # Put together anew: what is hashed is what the code says now.
    values, coded, told = _steps(spec)
    features = prepared.select(values).with_columns(coded).select(told)
    # Tables in full and numbers to the last digit, whatever the user's own display settings; these
    # are those of the whole process, so that two hashes are not made at once.
    with _HASHING, pl.Config(restore_defaults=True, fmt_table_cell_list_len=-1, float_precision=17):
        plan = features.explain(optimized=False)
    return hashlib.sha256(plan.encode()).hexdigest()
