"""The tape: one row a loan at its cut-off date. One schema for checking, printing and casting.

The fields, their Chinese names, units and allowed values are the project's canonical loan schema;
EBA indices refer to the NPL templates of ITS (EU) 2023/2083.
"""

from functools import cache
from typing import Any, Final

import dataframely as dy
import polars as pl

ASSET_CLASSES: Final = (
    "credit_card",
    "consumer",
    "auto",
    "personal_business",
    "residential_mortgage",
    "sme",
    "corporate",
)
SOURCE_SYSTEMS: Final = (
    "cn_tape",
    "lending_club",
    "sba_7a",
    "us_mortgage",
    "bondora",
    "freddie_mac",
    "synthetic",
)
BORROWER_TYPES: Final = ("individual", "self_employed", "enterprise")
EMPLOYMENT: Final = ("employed", "self_employed", "unemployed", "retired", "unknown")
INSOLVENCY: Final = ("none", "restructuring", "bankruptcy", "deceased", "deregistered")
GUARANTEES: Final = ("credit", "guarantee", "mortgage", "pledge", "mixed")
SECURED_GUARANTEES: Final = ("mortgage", "pledge", "mixed")
# Ordered from best to worst (五级分类) and by the progress of the case (诉讼状态).
FIVE_CATEGORIES: Final = ("pass", "special_mention", "substandard", "doubtful", "loss")
LEGAL_STAGES: Final = (
    "not_sued",
    "mediated",
    "in_suit",
    "judged",
    "enforcing",
    "zhongben",
    "closed_enforcement",
    "bankruptcy",
)
COLLATERAL_TYPES: Final = (
    "residential",
    "commercial",
    "office",
    "industrial",
    "land",
    "vehicle",
    "equipment",
    "equity",
    "receivable",
    "other",
)
OCCUPANCIES: Final = ("vacant", "owner", "rented", "sole_home", "unknown")
DISPOSALS: Final = (
    "open",
    "paid",
    "settled",
    "auctioned",
    "sold",
    "dation",
    "repurchased",
    "written_off",
)
CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"
# GB/T 2260 (six digits) or ISO 3166-2, such as CN-GD or US-CA.
REGION_PATTERN: Final = r"^(\d{6}|[A-Z]{2}-[A-Z0-9]{1,3})$"
INDUSTRY_PATTERN: Final = r"^([A-T]|\d{2,6})$"


def _about(
    chinese: str,
    group: str,
    need: str = "O",
    unit: str = "",
    eba: str = "",
    allowed: str = "",
) -> dict[str, Any]:
    return {
        "chinese": chinese,
        "group": group,
        "need": need,
        "unit": unit,
        "eba": eba,
        "allowed": allowed,
    }


def _text(about: dict[str, Any], *, required: bool = False, regex: str | None = None) -> dy.String:
    return dy.String(
        nullable=not required, min_length=1 if regex is None else None, regex=regex, metadata=about
    )


def _code(values: tuple[str, ...], about: dict[str, Any], *, required: bool = False) -> dy.Enum:
    return dy.Enum(values, nullable=not required, metadata=about | {"allowed": ";".join(values)})


def _number(
    about: dict[str, Any],
    *,
    required: bool = False,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
) -> dy.Float64:
    return dy.Float64(nullable=not required, min=low, min_exclusive=above, max=high, metadata=about)


def _count(about: dict[str, Any], *, low: int | None = None, high: int | None = None) -> dy.Int32:
    return dy.Int32(nullable=True, min=low, max=high, metadata=about)


def _date(about: dict[str, Any], *, required: bool = False) -> dy.Date:
    return dy.Date(nullable=not required, metadata=about)


def _flag(about: dict[str, Any]) -> dy.Bool:
    return dy.Bool(nullable=True, metadata=about)


class Tape(dy.Schema):
    """Canonical fields. `need`: R required, O optional, C(...) or R(...) required on a condition.

    Conditions that span several fields are in `features.tape_rules`.
    """

    loan_id = dy.String(
        primary_key=True, min_length=1, metadata=_about("借据/合同编号", "key", "R", eba="3.01")
    )
    borrower_id = _text(_about("借款人编号", "key", "R", eba="1.02"), required=True)
    package_id = _text(_about("资产包编号", "key", "R"), required=True)
    originator = _text(_about("出让方/发起机构", "key"))
    servicer = _text(_about("处置/贷款服务机构", "key", eba="5.02"))
    snapshot_date = _date(_about("交易基准日", "key", "R", eba="3.00"), required=True)
    source_system = _code(SOURCE_SYSTEMS, _about("数据来源", "key", "R"), required=True)
    borrower_type = _code(
        BORROWER_TYPES, _about("借款人类型", "borrower", "R", eba="1.06"), required=True
    )
    birth_year = _count(_about("出生年", "borrower", unit="year", eba="1.07"), low=1920, high=2100)
    employment_status = _code(EMPLOYMENT, _about("就业状态", "borrower"))
    annual_income = _number(_about("年收入", "borrower", unit="currency"), low=0)
    dti = _number(_about("负债收入比", "borrower", unit="ratio"), low=0)
    credit_score = _number(_about("信用分", "borrower", unit="points"), low=0)
    industry_code = _text(
        _about(
            "行业(GB/T 4754 门类)",
            "borrower",
            "C(enterprise)",
            eba="1.04",
            allowed="A-T or NAICS digits",
        ),
        regex=INDUSTRY_PATTERN,
    )
    borrower_adcode = _text(
        _about(
            "借款人地区(GB/T 2260)",
            "borrower",
            "R(CNY)",
            eba="1.14-1.17",
            allowed="six-digit GB/T 2260 code or ISO 3166-2",
        ),
        regex=REGION_PATTERN,
    )
    dishonest_flag = _flag(_about("失信被执行人", "borrower"))
    consumption_restricted = _flag(_about("限制高消费", "borrower"))
    insolvency_status = _code(
        INSOLVENCY, _about("破产/死亡/注销", "borrower", eba="1.09,1.31-1.32")
    )
    contactable = _flag(_about("可联标识", "borrower", eba="1.18-1.20"))
    asset_class = _code(
        ASSET_CLASSES, _about("资产类型", "loan", "R", eba="3.05-3.06"), required=True
    )
    origination_date = _date(_about("发放日", "loan", "R(not credit_card)", eba="3.02"))
    maturity_date = _date(_about("到期日", "loan", eba="3.07"))
    original_amount = _number(
        _about("原始金额/授信额度", "loan", "R", "currency"), required=True, above=0
    )
    interest_rate = _number(_about("利率", "loan", unit="% a year", eba="3.14"), low=0, high=100)
    term_months = _count(_about("期限", "loan", unit="months"), low=1, high=720)
    currency = _text(
        _about("币种", "loan", "R", "ISO 4217", "3.08"), required=True, regex=CURRENCY_PATTERN
    )
    principal_outstanding = _number(
        _about("未偿本金", "loan", "R(unless measured on original_amount)", "currency", "3.09"),
        low=0,
    )
    interest_outstanding = _number(
        _about("未偿利息(含罚息复利)", "loan", "R(measured on claim)", "currency", "3.10"), low=0
    )
    fees_outstanding = _number(
        _about("其他费用/垫付诉讼费", "loan", "O", "currency", "3.11"), low=0
    )
    guarantee_type = _code(GUARANTEES, _about("担保方式", "loan", "R", eba="4.02"), required=True)
    guaranteed_pct = _number(
        _about("第三方担保/保险比例", "loan", unit="ratio", eba="4.27"), low=0, high=1
    )
    first_overdue_date = _date(
        _about("逾期起始日", "delinq", "C(one of this, default_date, days_past_due)")
    )
    days_past_due = _count(
        _about("逾期天数", "delinq", "C(one of the three ages)", "days", "3.13"), low=0, high=18_300
    )
    default_date = _date(_about("违约日", "delinq", "C(one of the three ages)", eba="3.23"))
    five_category = _code(FIVE_CATEGORIES, _about("五级分类", "delinq", "R(CNY)"))
    written_off = _flag(_about("核销标识", "delinq", "R(CNY)"))
    write_off_date = _date(_about("核销日", "delinq"))
    last_payment_date = _date(_about("最近还款日", "delinq", eba="3.21"))
    last_payment_amount = _number(_about("最近还款额", "delinq", "O", "currency", "3.22"), low=0)
    paid_last_12m = _number(_about("近12月还款额", "delinq", unit="currency"), low=0)
    forbearance_flag = _flag(_about("重组/展期/个性化分期", "delinq", eba="3.38"))
    collateral_type = _code(
        COLLATERAL_TYPES, _about("抵押物类型", "collat", "C(secured)", eba="4.01-4.02")
    )
    collateral_adcode = _text(
        _about(
            "抵押物地区",
            "collat",
            "C(secured)",
            eba="4.04-4.06",
            allowed="six-digit GB/T 2260 code or ISO 3166-2",
        ),
        regex=REGION_PATTERN,
    )
    appraised_value = _number(
        _about("评估净值", "collat", "C(secured)", "currency", "4.19,4.23"), above=0
    )
    valuation_date = _date(_about("评估日", "collat", "C(secured)", eba="4.20,4.24"))
    lien_rank = _count(_about("抵押顺位", "collat", eba="4.09"), low=1, high=20)
    prior_lien_amount = _number(_about("在先债权", "collat", "O", "currency", "4.10"), low=0)
    mortgage_registered = _flag(_about("是否办妥正式抵押登记", "collat"))
    occupancy = _code(OCCUPANCIES, _about("占用/租赁/唯一住房", "collat", eba="4.17"))
    area_m2 = _number(_about("面积", "collat", unit="m2", eba="4.13"), above=0)
    legal_stage = _code(LEGAL_STAGES, _about("诉讼状态", "legal", "R(CNY)", eba="3.24,3.26"))
    lawsuit_date = _date(_about("起诉日", "legal", eba="3.25"))
    court_adcode = _text(
        _about("管辖法院地区", "legal", eba="3.27,4.31", allowed="six-digit GB/T 2260 code"),
        regex=REGION_PATTERN,
    )
    limitation_expiry = _date(_about("诉讼/执行时效届满日", "legal", eba="3.29"))
    seizure_rank = _count(
        _about("查封顺位", "legal", eba="4.30", allowed="1 is first"), low=1, high=50
    )
    auction_round = _count(_about("拍卖轮次/流拍次数", "legal", eba="4.42"), low=0, high=20)
    auction_reserve_price = _number(_about("下次起拍价", "legal", "O", "currency", "4.39"), above=0)
    auction_date = _date(_about("下次拍卖日", "legal", eba="4.38"))
    disposal_status = _code(DISPOSALS, _about("处置状态", "outcome"))
    closed_date = _date(_about("结清/处置完成日", "outcome"))


# Known only after the cut-off: checked and used for targets, never for features.
OUTCOME_FIELDS: Final = tuple(
    name for name, column in Tape.columns().items() if (column.metadata or {})["group"] == "outcome"
)


@cache
def tape_dtypes() -> dict[str, pl.DataType]:
    """Polars data type of each canonical field, in schema order."""
    return {name: column.dtype for name, column in Tape.columns().items()}
