"""Borrower features."""

import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD
from features.feature import Feature, ratio
from features.tape import BORROWER_TYPES, EMPLOYMENT, INSOLVENCY

# GB/T 4754 sections are one letter; NAICS groups industries by its first two digits.
_industry = pl.col("industry_code").str.slice(0, 2)

FEATURES = (
    Feature(
        "borrower_type",
        "borrower",
        "category",
        pl.col("borrower_type"),
        "type of borrower",
        "借款人类型",
        levels=BORROWER_TYPES,
    ),
    Feature(
        "borrower_age_years",
        "borrower",
        "number",
        (pl.col(CUT_OFF).dt.year() - pl.col("birth_year")).cast(pl.Float64),
        "age of the borrower",
        "借款人年龄",
        "years",
    ),
    Feature(
        "employment_status",
        "borrower",
        "category",
        pl.col("employment_status"),
        "employment",
        "就业状态",
        levels=EMPLOYMENT,
    ),
    Feature(
        "annual_income",
        "borrower",
        "number",
        pl.col("annual_income"),
        "annual income",
        "年收入",
        "currency",
    ),
    Feature(
        "ead_to_income",
        "borrower",
        "number",
        ratio(pl.col(EAD), pl.col("annual_income")),
        "exposure over annual income",
        "债权金额与年收入之比",
        "ratio",
    ),
    Feature("dti", "borrower", "number", pl.col("dti"), "debt to income", "负债收入比", "ratio"),
    Feature(
        "credit_score",
        "borrower",
        "number",
        pl.col("credit_score"),
        "credit score",
        "信用分",
        "points",
    ),
    Feature("industry", "borrower", "category", _industry, "industry", "行业"),
    Feature(
        "dishonest",
        "borrower",
        "flag",
        pl.col("dishonest_flag"),
        "listed as a dishonest judgment debtor",
        "失信被执行人",
    ),
    Feature(
        "consumption_restricted",
        "borrower",
        "flag",
        pl.col("consumption_restricted"),
        "under a consumption restriction order",
        "限制高消费",
    ),
    Feature(
        "insolvency_status",
        "borrower",
        "category",
        pl.col("insolvency_status"),
        "insolvency, death or deregistration",
        "破产/死亡/注销",
        levels=INSOLVENCY,
    ),
    Feature("contactable", "borrower", "flag", pl.col("contactable"), "can be reached", "可联"),
)
