"""The one feature path: nothing later than the cut-off, no order, no company, no format matters."""

import io
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import pipeline, region
from features.errors import PortfolioError, SpecError
from features.feature import Feature
from features.pipeline import (
    CANONICAL,
    build_features,
    build_scoring_frame,
    formula_hash,
    learn_spec,
)
from features.portfolio import ExtraField, Portfolio
from features.spec import FeatureDefinition, FeatureSpec
from features.tape import OUTCOME_FIELDS

NO_CASH: dict[str, pl.DataType | type[pl.DataType]] = {
    "loan_id": pl.String,
    "period": pl.Date,
    "gross_amount": pl.Float64,
    "collateral_amount": pl.Float64,
    "cost_amount": pl.Float64,
    "route": pl.String,
    "recorded_at": pl.Datetime("us"),
}
REQUIRED = (
    "loan_id",
    "borrower_id",
    "package_id",
    "snapshot_date",
    "source_system",
    "borrower_type",
    "asset_class",
    "original_amount",
    "currency",
    "guarantee_type",
    "principal_outstanding",
    "interest_outstanding",
)


def content(frame: pl.DataFrame) -> bytes:
    """Every value to the bit, with the column names, types and the missing ones."""
    parts = [repr(list(frame.schema.items())).encode(), "\n".join(frame["loan_id"]).encode()]
    for column in frame.drop("loan_id").iter_columns():
        numbers = column.to_physical().cast(pl.Float64)
        parts += [
            column.is_null().to_numpy().tobytes(),
            numbers.fill_null(0.0).to_numpy().tobytes(),
        ]
    return b"".join(parts)


def spec_of(*names: str, levels: dict[str, tuple[str, ...]] | None = None) -> FeatureSpec:
    by_name = {feature.name: feature for feature in CANONICAL}
    return FeatureSpec(
        basis="claim",
        extra_fields=(),
        definitions=tuple(
            FeatureDefinition(
                name=name,
                group=by_name[name].group,
                kind=by_name[name].kind,
                unit=by_name[name].unit,
                levels=(levels or {}).get(name, by_name[name].levels),
                meaning_en=by_name[name].meaning_en,
                meaning_zh=by_name[name].meaning_zh,
            )
            for name in names
        ),
    )


def features_of(columns: dict[str, Any], *names: str) -> pl.DataFrame:
    """Features of a tape that has nothing but these columns."""
    tape = pl.LazyFrame(columns)
    return build_features(tape, pl.LazyFrame(schema=NO_CASH), spec_of(*names)).collect()


def cash_rows(rows: list[tuple[str, date, float, datetime]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "loan_id": loan,
                "period": period,
                "gross_amount": gross,
                "collateral_amount": None,
                "cost_amount": 1.0,
                "route": "collection",
                "recorded_at": recorded,
            }
            for loan, period, gross, recorded in rows
        ],
        schema=NO_CASH,
    )


def month_after(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


@pytest.fixture(scope="module")
def spec(simulated: Portfolio) -> FeatureSpec:
    return learn_spec(simulated.tape, simulated.ledger, simulated.meta)


@pytest.fixture(scope="module")
def tape(simulated: Portfolio) -> pl.DataFrame:
    return simulated.tape.collect()


@pytest.fixture(scope="module")
def ledger(simulated: Portfolio) -> pl.DataFrame:
    return simulated.ledger.collect()


@pytest.fixture(scope="module")
def features(tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec) -> pl.DataFrame:
    return build_features(tape.lazy(), ledger.lazy(), spec).collect()


@pytest.fixture(scope="module")
def few(tape: pl.DataFrame, ledger: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    chosen = tape.head(40)
    return chosen, ledger.join(chosen.select("loan_id"), on="loan_id", how="semi")


# What is known only later


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_cash_received_or_recorded_later_changes_nothing(
    data: st.DataObject,
    few: tuple[pl.DataFrame, pl.DataFrame],
    spec: FeatureSpec,
    features: pl.DataFrame,
) -> None:
    tape, ledger = few
    later = st.tuples(
        st.integers(0, tape.height - 1),
        st.booleans(),
        st.integers(1, 90),
        st.floats(0.01, 1e9),
        st.integers(0, 2_000),
    )
    rows = []
    for place, received_later, months, gross, days in data.draw(st.lists(later, min_size=1)):
        loan, cut_off = tape["loan_id"][place], tape["snapshot_date"][place]
        if received_later:
            # Even when it is said to be in the books already.
            period, recorded = month_after(cut_off, months), cut_off - timedelta(days=days)
        else:
            period, recorded = month_after(cut_off, -(months % 30)), cut_off + timedelta(days + 1)
        rows.append((loan, period, gross, datetime.combine(recorded, time())))
    appended = pl.concat([ledger, cash_rows(rows).cast(dict(ledger.schema))])  # type: ignore[arg-type]
    after = build_features(tape.lazy(), appended.lazy(), spec).collect()
    assert content(after) == content(features.head(tape.height))


def test_cash_recorded_on_the_day_of_the_cut_off_counts() -> None:
    tape = pl.LazyFrame(
        {
            "loan_id": ["a", "b"],
            "snapshot_date": [date(2022, 6, 30)] * 2,
            "principal_outstanding": [900.0] * 2,
            "interest_outstanding": [100.0] * 2,
        }
    )
    in_time, late = datetime(2022, 6, 30, 23, 59, 59), datetime(2022, 7, 1)
    cash = cash_rows(
        [
            ("a", date(2022, 6, 1), 10.0, in_time),
            ("a", date(2022, 3, 1), 20.0, in_time),  # the fourth month back
            ("a", date(2021, 6, 1), 40.0, in_time),  # the thirteenth
            ("b", date(2022, 6, 1), 10.0, late),
        ]
    )
    names = ("paid_3m_rate", "paid_12m_rate", "paying_months_12m")
    frame = build_features(tape, cash.lazy(), spec_of(*names)).collect()
    assert frame.rows() == [("a", 0.01, 0.03, 2.0), ("b", None, None, None)]


def test_outcome_fields_of_the_tape_change_nothing(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec, features: pl.DataFrame
) -> None:
    forged = tape.with_columns(
        disposal_status=pl.lit("paid").cast(tape.schema["disposal_status"]),
        closed_date=pl.col("snapshot_date").dt.offset_by("1mo"),
    )
    for other in (forged, tape.drop(OUTCOME_FIELDS)):
        assert content(build_features(other.lazy(), ledger.lazy(), spec).collect()) == content(
            features
        )
    assert set(OUTCOME_FIELDS) == {"disposal_status", "closed_date"}


# Order and company


def test_order_of_tape_rows_is_the_order_of_the_frame(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec, features: pl.DataFrame
) -> None:
    order = np.random.default_rng(3).permutation(tape.height)
    permuted = build_features(tape[order].lazy(), ledger.lazy(), spec).collect()
    assert content(permuted) == content(features[order])


def test_order_of_ledger_rows_changes_no_bit(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec, features: pl.DataFrame
) -> None:
    shuffled = ledger.sample(fraction=1.0, shuffle=True, seed=5)
    for engine in ("in-memory", "streaming"):
        frame = build_features(tape.lazy(), shuffled.lazy(), spec).collect(engine=engine)
        assert content(frame) == content(features)


def test_one_loan_alone_gives_the_bytes_it_gives_among_thousands(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec, features: pl.DataFrame
) -> None:
    for place in range(0, tape.height, 41):
        alone = build_features(tape[place : place + 1].lazy(), ledger.lazy(), spec).collect()
        assert content(alone) == content(features[place : place + 1])


def test_absent_optional_columns_keep_every_type(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec, features: pl.DataFrame
) -> None:
    extras = [extra.name for extra in spec.extra_fields]
    bare = tape.head(5).select(*REQUIRED, *extras)
    frame = build_features(bare.lazy(), ledger.lazy(), spec).collect()
    assert frame.schema == features.schema
    assert frame["credit_score"].null_count() == 5
    claim = tape["principal_outstanding"] + tape["interest_outstanding"]
    assert frame["ead"].to_list() == claim.head(5).to_list()


# Vocabularies


def test_unknown_region_is_missing_and_flagged() -> None:
    tape = pl.LazyFrame(
        {
            "loan_id": list("abcd"),
            "snapshot_date": [date(2022, 6, 30)] * 4,
            "borrower_adcode": ["990100", "440300", None, "US-CA"],
        }
    )
    spec = spec_of("region", levels={"region": ("CN-GD",)})
    frame = build_scoring_frame(tape, pl.LazyFrame(schema=NO_CASH), spec).collect()
    assert frame["region"].cast(pl.String).to_list() == [None, "CN-GD", None, None]
    assert frame["unseen"].to_list() == [["region"], [], [], ["region"]]


def test_levels_are_learnt_from_twenty_loans_up(simulated: Portfolio, spec: FeatureSpec) -> None:
    counts = simulated.tape.select("originator").collect().to_series().value_counts()
    frequent = counts.filter(pl.col("count") >= 20)["originator"].drop_nulls().sort().to_list()
    names = spec.names
    if "originator" in names:
        assert list(spec.definition("originator").levels) == frequent
    else:
        assert len(frequent) < 1
    assert "unknown" not in spec.definition("region").levels


def test_every_learnt_feature_varies(features: pl.DataFrame) -> None:
    assert all(column.n_unique() > 1 for column in features.iter_columns())


# Refusals


def test_missing_extra_field_is_named(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec
) -> None:
    with pytest.raises(SpecError, match="internal_grade"):
        build_features(tape.drop("internal_grade").lazy(), ledger.lazy(), spec)


def test_extra_field_with_the_name_of_a_feature_is_refused(simulated: Portfolio) -> None:
    extra = ExtraField(name="ead", type="number", meaning_en="exposure", meaning_zh="债权")
    tape = simulated.tape.with_columns(ead=pl.lit(1.0))
    meta = simulated.meta.model_copy(update={"extra_fields": (extra,)})
    with pytest.raises(SpecError, match="ead bear the name of a built-in feature"):
        learn_spec(tape, simulated.ledger, meta)


def test_cut_off_before_the_tape_is_refused(
    tape: pl.DataFrame, ledger: pl.DataFrame, spec: FeatureSpec
) -> None:
    newest = tape["snapshot_date"].max()
    assert isinstance(newest, date)
    with pytest.raises(PortfolioError, match=f"before the newest snapshot_date {newest}"):
        build_features(tape.lazy(), ledger.lazy(), spec, newest - timedelta(days=1))


# A later cut-off


def test_a_later_cut_off_ages_the_loans_and_takes_off_what_was_paid_since() -> None:
    tape = pl.LazyFrame(
        {
            "loan_id": ["a"],
            "snapshot_date": [date(2022, 1, 31)],
            "principal_outstanding": [900.0],
            "interest_outstanding": [80.0],
            "fees_outstanding": [20.0],
            "default_date": [date(2021, 1, 31)],
            "first_overdue_date": [None],
            "days_past_due": [400],
        },
        schema_overrides={"first_overdue_date": pl.Date},
    )
    day = datetime(2022, 4, 30)
    cash = cash_rows(
        [
            ("a", date(2022, 1, 1), 7.0, day),  # the tape's balance knows of it
            ("a", date(2022, 2, 1), 100.25, day),
            ("a", date(2022, 4, 1), 50.0, day),
            ("a", date(2022, 4, 1), 999.0, datetime(2022, 5, 1)),  # not yet recorded
            ("a", date(2022, 5, 1), 999.0, day),  # after the cut-off
        ]
    )
    names = ("ead", "months_since_default", "days_past_due", "paid_3m_rate")
    frame = build_features(tape, cash.lazy(), spec_of(*names), date(2022, 4, 30)).collect()
    # February to April: 28 + 31 + 30 days; on 30 April the 15th month is unfinished.
    ead = 1000.0 - 100.25 - 50.0
    assert frame.row(0)[1:] == pytest.approx((ead, 14.0, 400 + 89, 150.25 / ead))


def test_cash_since_the_tape_matches_a_plain_loop(
    few: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    tape, ledger = few
    cut_off = date(2024, 12, 31)
    frame = build_features(tape.lazy(), ledger.lazy(), spec_of("ead"), cut_off).collect()
    for loan, ead in frame.rows():
        row = tape.row(by_predicate=pl.col("loan_id") == loan, named=True)
        claim = row["principal_outstanding"] + row["interest_outstanding"]
        claim += row["fees_outstanding"] or 0.0
        since = month_after(row["snapshot_date"], 1)
        for cash in ledger.filter(loan_id=loan).iter_rows(named=True):
            known = cash["recorded_at"].date() <= cut_off
            if known and since <= cash["period"] <= cut_off:
                claim -= cash["gross_amount"]
        assert ead == pytest.approx(claim, abs=0.005)


# The specification and the formulas


def test_specification_survives_json(spec: FeatureSpec) -> None:
    again = FeatureSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.hash == spec.hash


def test_hash_tells_specifications_apart(spec: FeatureSpec) -> None:
    fewer = spec.keep(spec.names[1:])
    first = spec.definitions[0]
    renamed = first.model_copy(update={"meaning_en": "something else"})
    reworded = spec.model_copy(update={"definitions": (renamed, *spec.definitions[1:])})
    assert len({spec.hash, fewer.hash, reworded.hash}) == 3
    assert fewer.names == spec.names[1:]
    with pytest.raises(SpecError, match="no feature 'colour'"):
        spec.keep(["colour"])


def _with(name: str, expression: pl.Expr) -> tuple[Feature, ...]:
    return tuple(
        Feature(f.name, f.group, f.kind, expression, f.meaning_en, f.meaning_zh, f.unit, f.levels)
        if f.name == name
        else f
        for f in CANONICAL
    )


def test_changed_formula_changes_the_hash(
    spec: FeatureSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = formula_hash(spec)
    assert formula_hash(spec) == before
    monkeypatch.setattr(pipeline, "CANONICAL", _with("days_past_due", pl.col("days_past_due") + 1))
    assert formula_hash(spec) != before


@pytest.mark.parametrize(
    ("feature", "table", "field", "make"),
    [
        ("city_tier", "cities.csv", "tier", region.city_tier_expression),
        ("province_gdp_growth", "province_gdp.csv", "gdp_100m_cny", region.gdp_growth_expression),
    ],
)
def test_changed_region_table_changes_the_hash(
    feature: str,
    table: str,
    field: str,
    make: Callable[[str], pl.Expr],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = spec_of(feature)
    before = formula_hash(spec)
    original = region.read_reference

    def altered(name: str) -> tuple[dict[str, str], ...]:
        rows = [dict(row) for row in original(name)]
        if name == table:
            value = rows[-1][field]
            rows[-1][field] = "other" if field == "tier" else str(float(value) + 0.1)
        return tuple(rows)

    monkeypatch.setattr(pipeline, "CANONICAL", _with(feature, make("borrower_adcode")))
    assert formula_hash(spec) == before
    monkeypatch.setattr(region, "read_reference", altered)
    monkeypatch.setattr(pipeline, "CANONICAL", _with(feature, make("borrower_adcode")))
    assert formula_hash(spec) != before


def test_formula_hash_does_not_depend_on_how_frames_are_printed(spec: FeatureSpec) -> None:
    before = formula_hash(spec)
    with pl.Config(fmt_table_cell_list_len=1, float_precision=2, fmt_str_lengths=3):
        assert formula_hash(spec) == before


def test_features_have_one_name_and_a_meaning_in_both_languages() -> None:
    names = [feature.name for feature in CANONICAL]
    assert len(set(names)) == len(names)
    for feature in CANONICAL:
        assert feature.meaning_en.isascii(), feature.name
        assert len(feature.meaning_en) >= 3
        assert any("\u4e00" <= sign <= "\u9fff" for sign in feature.meaning_zh), feature.name


# Single formulas, against loops


@given(
    default=st.dates(date(1995, 1, 1), date(2024, 12, 31)),
    days=st.integers(0, 9_000),
)
@settings(max_examples=60, deadline=None)
def test_months_since_default_against_counting_month_by_month(default: date, days: int) -> None:
    cut_off = default + timedelta(days=days)
    months = 0
    while True:
        number = default.year * 12 + default.month + months
        year, month = number // 12, number % 12 + 1
        # The next month is complete when its day of the month is reached: by (year, month, day).
        if (cut_off.year, cut_off.month, cut_off.day) < (year, month, default.day):
            break
        months += 1
    columns = {"loan_id": ["a"], "snapshot_date": [cut_off], "default_date": [default]}
    assert features_of(columns, "months_since_default").item(0, 1) == months


@pytest.mark.parametrize(
    ("default", "overdue", "days_past_due", "months"),
    [
        (date(2021, 6, 30), date(2021, 1, 1), 10, 12.0),  # the date of default comes first
        (None, date(2021, 6, 30), 10, 12.0),
        (None, None, 365, 11.0),  # 365 / 30.4369 is 11.99
        (None, None, 366, 12.0),
        (None, None, None, None),
    ],
)
def test_which_clock_the_age_is_read_from(
    default: date | None, overdue: date | None, days_past_due: int | None, months: float | None
) -> None:
    columns = {
        "loan_id": ["a"],
        "snapshot_date": [date(2022, 6, 30)],
        "default_date": pl.Series([default], dtype=pl.Date),
        "first_overdue_date": pl.Series([overdue], dtype=pl.Date),
        "days_past_due": pl.Series([days_past_due], dtype=pl.Int32),
    }
    assert features_of(columns, "months_since_default").item(0, 1) == months


@given(
    rate=st.one_of(st.just(0.0), st.floats(0.5, 36.0)),
    term=st.integers(1, 360),
    elapsed=st.integers(0, 400),
)
@settings(max_examples=60, deadline=None)
def test_scheduled_balance_against_an_amortisation_schedule(
    rate: float, term: int, elapsed: int
) -> None:
    monthly = rate / 1200
    payment = 1 / term if monthly == 0 else monthly / (1 - (1 + monthly) ** -term)
    balance = 1.0
    for _ in range(min(elapsed, term)):
        balance = balance * (1 + monthly) - payment
    columns = {
        "loan_id": ["a"],
        "snapshot_date": [date(2024, 1, 1)],
        "origination_date": [date(1985, 1, 1)],
        "default_date": [month_after(date(1985, 1, 1), elapsed)],
        "term_months": [term],
        "interest_rate": [rate],
    }
    found = features_of(columns, "scheduled_balance_rate").item(0, 1)
    assert found == pytest.approx(balance, abs=1e-8)


def test_a_ratio_to_nothing_is_missing() -> None:
    columns = {
        "loan_id": ["a", "b"],
        "snapshot_date": [date(2024, 1, 1)] * 2,
        "principal_outstanding": [0.0, 50.0],
        "interest_outstanding": [10.0, 10.0],
        "original_amount": [100.0, 100.0],
    }
    frame = features_of(columns, "interest_to_principal", "principal_to_original")
    assert frame.rows() == [("a", None, 0.0), ("b", 0.2, 0.5)]


def test_frames_travel_through_arrow_unchanged(features: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    features.write_ipc(buffer)
    buffer.seek(0)
    assert content(pl.read_ipc(buffer)) == content(features)
