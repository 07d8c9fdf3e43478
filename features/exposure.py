"""Exposure features, and the one definition of exposure at default (EAD)."""

import polars as pl

from features.feature import Feature, ratio
from features.portfolio import RecoveryBasis
from features.tape import ASSET_CLASSES, GUARANTEES

EAD = "ead_amount"
PAID_SINCE_SNAPSHOT = "paid_since_snapshot_amount"


def ead_expression(basis: RecoveryBasis) -> pl.Expr:
    """Exposure that recoveries are measured on, re-based to the cut-off date.

    Parameters
    ----------
    basis : {"claim", "principal", "original_amount"}
        See `features.portfolio.PortfolioMeta`.

    Returns
    -------
    polars.Expr
        Currency amount; missing where a part of it is missing. Cash received between the tape's
        own date and a later cut-off is taken off (only cash after the cut-off counts as recovery).
    """
    if basis == "original_amount":
        return pl.col("original_amount")
    amount = pl.col("principal_outstanding")
    if basis == "claim":
        amount = amount + pl.col("interest_outstanding") + pl.col("fees_outstanding").fill_null(0.0)
    return amount - pl.col(PAID_SINCE_SNAPSHOT)


FEATURES = (
    Feature(
        "asset_class",
        "exposure",
        "category",
        pl.col("asset_class"),
        "asset class",
        "资产类型",
        levels=ASSET_CLASSES,
    ),
    Feature(
        "originator",
        "exposure",
        "category",
        pl.col("originator"),
        "originating institution",
        "发起机构",
    ),
    Feature("ead", "exposure", "number", pl.col(EAD), "exposure", "债权金额", "currency"),
    Feature(
        "original_amount",
        "exposure",
        "number",
        pl.col("original_amount"),
        "original amount or limit",
        "原始金额/授信额度",
        "currency",
    ),
    Feature(
        "principal_to_original",
        "exposure",
        "number",
        ratio(pl.col("principal_outstanding"), pl.col("original_amount")),
        "principal outstanding over the original amount",
        "未偿本金占原始金额",
        "ratio",
    ),
    Feature(
        "interest_to_principal",
        "exposure",
        "number",
        ratio(pl.col("interest_outstanding"), pl.col("principal_outstanding")),
        "interest outstanding over principal",
        "未偿利息占本金",
        "ratio",
    ),
    Feature(
        "interest_rate",
        "exposure",
        "number",
        pl.col("interest_rate"),
        "contract interest rate",
        "合同利率",
        "% a year",
    ),
    Feature(
        "guarantee_type",
        "exposure",
        "category",
        pl.col("guarantee_type"),
        "type of guarantee",
        "担保方式",
        levels=GUARANTEES,
    ),
    Feature(
        "guaranteed_share",
        "exposure",
        "number",
        pl.col("guaranteed_pct"),
        "share guaranteed or insured by third parties",
        "第三方担保/保险比例",
        "ratio",
    ),
)
