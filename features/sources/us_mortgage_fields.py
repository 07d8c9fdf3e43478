"""Extra fields of the US mortgage panel: all are known at the end of the period of default."""

from typing import Final

from features.sources.extra_fields import category_extra, flag_extra, number_extra

EXTRA_FIELDS: Final = (
    number_extra(
        "ltv_at_default",
        "Loan to indexed value at default",
        "违约时贷款价值比",
        "collateral",
        "%",
        direction=-1,
    ),
    number_extra(
        "ltv_at_origination", "Loan to value at origination", "发放时贷款价值比", "collateral", "%"
    ),
    number_extra(
        "ltv_change",
        "Change of the loan to value since origination",
        "贷款价值比变动",
        "collateral",
        "% points",
    ),
    category_extra("property_type", "Property type", "房产类型", "collateral"),
    flag_extra("investor", "Investor's property, not the owner's home", "投资性房产", "collateral"),
    number_extra(
        "hpi_at_default", "House-price index at default", "违约时房价指数", "region", "index"
    ),
    number_extra(
        "hpi_at_origination",
        "House-price index at origination",
        "发放时房价指数",
        "region",
        "index",
    ),
    number_extra(
        "hpi_since_origination",
        "House-price change since origination",
        "发放以来房价变动",
        "region",
        "ratio",
    ),
    number_extra(
        "hpi_change_1_year",
        "House-price change over four periods",
        "近四期房价变动",
        "region",
        "ratio",
    ),
    number_extra("gdp_growth", "GDP growth at default", "违约时GDP增速", "region", "%"),
    number_extra("unemployment_rate", "Unemployment at default", "违约时失业率", "region", "%"),
    number_extra(
        "unemployment_change_1_year",
        "Change of unemployment over four periods",
        "近四期失业率变动",
        "region",
        "% points",
    ),
    number_extra(
        "market_rate_at_origination",
        "Market interest rate when the loan was granted",
        "发放时市场利率",
        "exposure",
        "%",
    ),
    number_extra(
        "interest_rate_at_origination",
        "Interest rate when the loan was granted",
        "发放时利率",
        "exposure",
        "%",
    ),
    number_extra(
        "interest_rate_change",
        "Change of the loan's rate over the observed periods",
        "利率变动",
        "payments",
        "% points",
    ),
    number_extra(
        "rate_spread", "Loan's rate above the market rate", "利差", "exposure", "% points"
    ),
    number_extra(
        "balance_to_original",
        "Balance to original balance",
        "余额与原始金额之比",
        "exposure",
        "ratio",
    ),
    number_extra(
        "balance_change_observed",
        "Change of the balance over the observed periods",
        "观察期余额变动",
        "payments",
        "ratio",
    ),
    number_extra(
        "periods_observed", "Periods observed up to default", "观察期数", "age", "quarters"
    ),
    number_extra(
        "loan_age_periods", "Periods from origination to default", "贷款账龄期数", "age", "quarters"
    ),
)
