"""Collateral features."""

import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD
from features.feature import Feature, ratio
from features.months import whole_months
from features.tape import COLLATERAL_TYPES, OCCUPANCIES

_appraised = pl.col("appraised_value")

FEATURES = (
    Feature(
        "collateral_type",
        "collateral",
        "category",
        pl.col("collateral_type"),
        "type of collateral",
        "抵押物类型",
        levels=COLLATERAL_TYPES,
    ),
    Feature(
        "loan_to_value",
        "collateral",
        "number",
        ratio(pl.col(EAD) + pl.col("prior_lien_amount").fill_null(0.0), _appraised),
        "exposure and prior liens over the appraised value",
        "债权及在先债权与评估值之比",
        "ratio",
        direction=-1,
    ),
    Feature(
        "appraised_value",
        "collateral",
        "number",
        _appraised,
        "appraised value",
        "评估净值",
        "currency",
    ),
    Feature(
        "valuation_age_months",
        "collateral",
        "number",
        whole_months(pl.col("valuation_date"), pl.col(CUT_OFF)),
        "months since the appraisal",
        "评估至基准日月数",
        "months",
    ),
    Feature(
        "lien_rank",
        "collateral",
        "number",
        pl.col("lien_rank").cast(pl.Float64),
        "rank of the lien",
        "抵押顺位",
        direction=-1,
    ),
    Feature(
        "mortgage_registered",
        "collateral",
        "flag",
        pl.col("mortgage_registered"),
        "mortgage formally registered",
        "已办妥正式抵押登记",
    ),
    Feature(
        "occupancy",
        "collateral",
        "category",
        pl.col("occupancy"),
        "occupancy",
        "占用/租赁/唯一住房",
        levels=OCCUPANCIES,
    ),
    Feature("area_m2", "collateral", "number", pl.col("area_m2"), "area", "面积", "m2"),
)
