"""Age features: time since default (账龄), days past due, place in the contract's life."""

import polars as pl

from features.feature import Feature, ratio
from features.months import whole_months
from features.tape import FIVE_CATEGORIES

CUT_OFF = "cut_off_date"
MONTHS_A_DAY = 12 / 365.2425

_cut_off = pl.col(CUT_OFF)
_overdue_since = pl.col("first_overdue_date")
# Days past due stand at the tape's own date; a later cut-off adds the days between.
_days_past_due = pl.coalesce(
    (_cut_off - _overdue_since).dt.total_days(),
    pl.col("days_past_due") + (_cut_off - pl.col("snapshot_date")).dt.total_days(),
).cast(pl.Float64)
_default_date = pl.coalesce("default_date", "first_overdue_date")
# 账龄: whole months from default to the cut-off. Where a tape dates neither default nor the first
# missed payment, days past due are the only clock.
_months_since_default = pl.coalesce(
    whole_months(_default_date, _cut_off), (_days_past_due * MONTHS_A_DAY).floor()
)
# Read by several features, and worked out once for all of them.
_MONTHS_ON_BOOK = "__months_on_book"
_TERM = "__term_months"
_MONTHS_TO_DEFAULT = "__months_to_default"
CLOCKS = (
    whole_months(pl.col("origination_date"), _cut_off).alias(_MONTHS_ON_BOOK),
    pl.coalesce(
        pl.col("term_months").cast(pl.Float64),
        whole_months(pl.col("origination_date"), pl.col("maturity_date")),
    ).alias(_TERM),
    whole_months(pl.col("origination_date"), _default_date).alias(_MONTHS_TO_DEFAULT),
)
_months_on_book, _term, _months_to_default = map(
    pl.col, (_MONTHS_ON_BOOK, _TERM, _MONTHS_TO_DEFAULT)
)


def _scheduled_balance_rate() -> pl.Expr:
    """Annuity balance due at default, as a fraction of the original amount."""
    monthly = pl.col("interest_rate") * (1 / 1200)
    elapsed = pl.max_horizontal(pl.min_horizontal(_months_to_default, _term), pl.lit(0.0))
    growth = monthly.log1p()
    grown, whole = (growth * elapsed).exp(), (growth * _term).exp()
    annuity = (
        pl.when(monthly > 0).then((whole - grown) / (whole - 1)).otherwise(1 - elapsed / _term)
    )
    return pl.when((_term > 0) & _months_to_default.is_not_null()).then(annuity)


FEATURES = (
    Feature(
        "cut_off_time",
        "age",
        "number",
        (_cut_off.dt.year() + (_cut_off.dt.month() - 1) * (1 / 12)).cast(pl.Float64),
        "calendar time of the cut-off",
        "基准日年份",
        "year",
    ),
    Feature(
        "months_since_default",
        "age",
        "number",
        _months_since_default,
        "months since default",
        "账龄(违约至基准日月数)",
        "months",
        direction=-1,
    ),
    Feature(
        "days_past_due",
        "age",
        "number",
        _days_past_due,
        "days past due",
        "逾期天数",
        "days",
        direction=-1,
    ),
    Feature(
        "months_on_book",
        "age",
        "number",
        _months_on_book,
        "months from origination to the cut-off",
        "发放至基准日月数",
        "months",
    ),
    Feature("term_months", "age", "number", _term, "contract term", "合同期限", "months"),
    Feature(
        "term_elapsed",
        "age",
        "number",
        ratio(_months_on_book, _term),
        "share of the term elapsed",
        "合同期限已过比例",
        "ratio",
    ),
    Feature(
        "months_to_default",
        "age",
        "number",
        _months_to_default,
        "months from origination to default",
        "发放至违约月数",
        "months",
    ),
    Feature(
        "scheduled_balance_rate",
        "age",
        "number",
        _scheduled_balance_rate(),
        "balance scheduled at default over the original amount",
        "违约时计划余额占比",
        "ratio",
    ),
    Feature(
        "five_category",
        "age",
        "ordered",
        pl.col("five_category"),
        "five-category class",
        "五级分类",
        levels=FIVE_CATEGORIES,
    ),
    Feature("written_off", "age", "flag", pl.col("written_off"), "written off", "已核销"),
    Feature(
        "months_since_write_off",
        "age",
        "number",
        whole_months(pl.col("write_off_date"), _cut_off),
        "months since write-off",
        "核销至基准日月数",
        "months",
    ),
)
