"""Legal features: how far the case has come (诉讼状态) and what the auction has shown."""

import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD
from features.feature import Feature, ratio
from features.months import whole_months
from features.tape import LEGAL_STAGES

_cut_off = pl.col(CUT_OFF)

FEATURES = (
    Feature(
        "legal_stage",
        "legal",
        "category",
        pl.col("legal_stage"),
        "legal stage",
        "诉讼状态",
        levels=LEGAL_STAGES,
    ),
    Feature(
        "months_since_lawsuit",
        "legal",
        "number",
        whole_months(pl.col("lawsuit_date"), _cut_off),
        "months since the lawsuit",
        "起诉至基准日月数",
        "months",
    ),
    Feature(
        "months_to_limitation",
        "legal",
        "number",
        whole_months(_cut_off, pl.col("limitation_expiry")),
        "months until the limitation period ends",
        "距时效届满月数",
        "months",
    ),
    Feature(
        "seizure_rank",
        "legal",
        "number",
        pl.col("seizure_rank").cast(pl.Float64),
        "rank of the seizure (1 is first)",
        "查封顺位",
        direction=-1,
    ),
    Feature(
        "auction_round",
        "legal",
        "number",
        pl.col("auction_round").cast(pl.Float64),
        "auction rounds held",
        "拍卖轮次/流拍次数",
    ),
    Feature(
        "reserve_to_ead",
        "legal",
        "number",
        ratio(pl.col("auction_reserve_price"), pl.col(EAD)),
        "next reserve price over the exposure",
        "下次起拍价与债权之比",
        "ratio",
    ),
    Feature(
        "months_to_auction",
        "legal",
        "number",
        whole_months(_cut_off, pl.col("auction_date")),
        "months until the next auction",
        "距下次拍卖月数",
        "months",
    ),
)
