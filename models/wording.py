"""Words and numbers for people: labels in English and Chinese, levels, a loan's own values."""

import re
from functools import cache
from typing import Final, NamedTuple

from features.region import read_reference
from features.spec import FeatureDefinition
from features.vocabulary import codes


class Label(NamedTuple):
    """One thing said in English and in Chinese; `zh` is empty where there is nothing to add."""

    en: str
    zh: str


NOT_STATED: Final = Label("not stated", "未提供")
GROUPS: Final = {
    "borrower": Label("Borrower", "借款人"),
    "age": Label("Age and delinquency", "账龄与逾期"),
    "region": Label("Region", "地区"),
    "exposure": Label("Exposure and product", "债权与产品"),
    "payments": Label("Payment behaviour", "还款表现"),
    "collateral": Label("Collateral", "抵质押物"),
    "legal": Label("Legal stage", "诉讼进展"),
}
# Codes whose own words say too little.
_ENGLISH: Final = {
    "sme": "SME",
    "credit": "unsecured",
    "guarantee": "guaranteed",
    "zhongben": "enforcement terminated this round",
    "closed_enforcement": "enforcement closed",
    "true": "yes",
    "false": "no",
}
_CHINESE: Final = {"true": "是", "false": "否", "yes": "是", "no": "否"}
_CODE: Final = re.compile(r"^[a-z0-9]+(_[a-z0-9]+)*$")
_CJK: Final = re.compile(r"[\u4e00-\u9fff]")
_REGIONS: Final = ("region", "collateral_region")


@cache
def _provinces() -> dict[str, str]:
    return {row["iso_3166_2"]: row["province"] for row in read_reference("provinces.csv")}


@cache
def _chinese_codes(field: str) -> dict[str, str]:
    """Chinese word for each code of a field: the first synonym that tapes use."""
    found: dict[str, str] = {}
    for text, code in codes(field).items():
        if _CJK.search(text):
            found.setdefault(code, text)
    return found


def level_label(field: str, level: str | None) -> Label:
    """Label of a level of a field, feature or dimension.

    Examples
    --------
    >>> level_label("asset_class", "credit_card"), level_label("region", "CN-GD").zh
    (Label(en='credit card', zh='信用卡'), '广东省')
    """
    if level is None:
        return NOT_STATED
    if field in _REGIONS:
        return Label(level, _provinces().get(level, ""))
    english = _ENGLISH.get(level) or (level.replace("_", " ") if _CODE.match(level) else level)
    return Label(english, _chinese_codes(field).get(level) or _CHINESE.get(level, ""))


def amount(value: float | None) -> str:
    """Currency amount in whole units, with thousands separators; a dash where missing."""
    return "–" if value is None else signed(f"{value:,.0f}")


def rate(value: float | None, digits: int = 1) -> str:
    """Fraction as a percentage; a dash where missing."""
    return "–" if value is None else signed(f"{value:.{digits}%}")


def signed(text: str) -> str:
    """Return a number's text with a minus sign as wide as a plus; nothing is "-0".

    Examples
    --------
    >>> signed("-3.1%"), signed("-0.0%"), signed("+0.0%")
    ('−3.1%', '0.0%', '0.0%')
    """
    plain = text.lstrip("+-")
    if not re.search("[1-9]", plain):
        return plain
    return "−" + plain if text.startswith("-") else text


def short_amount(value: float, like: float | None = None) -> str:
    """Currency amount in thousands, millions or billions, in the unit that suits `like`.

    Examples
    --------
    >>> short_amount(-1234567.0), short_amount(999.0), short_amount(970e3, like=76e6)
    ('−1.23 m', '999', '0.97 m')
    """
    for size, unit in ((1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if abs(value if like is None else like) >= size:
            scaled = value / size
            digits = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 1000 else 0
            return signed(f"{scaled:,.{digits}f}") + unit
    return amount(value)


def capital(text: str) -> str:
    """Text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def value_label(value: float | str | None, definition: FeatureDefinition, currency: str) -> Label:
    """A loan's own value of a feature as a person reads it.

    Parameters
    ----------
    value : float or str, optional
        As in the feature frame: a rank for an ordered feature, 0 or 1 for a flag.
    definition : FeatureDefinition
        The feature.
    currency : str
        ISO 4217 code of amounts.
    """
    if value is None:
        return NOT_STATED
    if isinstance(value, str) or definition.kind in ("ordered", "flag"):
        return _level(value, definition)
    unit = definition.unit
    if unit == "ratio":
        return Label(*(rate(value),) * 2)
    if unit == "currency":
        yuan = "元" if currency == "CNY" else f" {currency}"
        return Label(f"{currency} {amount(value)}", f"{amount(value)}{yuan}")
    if unit == "year":
        month = int(value % 1 * 12) + 1
        return Label(*(f"{int(value)}-{month:02d}",) * 2)
    number = signed(f"{value:,.0f}" if value == round(value) else f"{value:,.4g}")
    if unit.startswith("%"):
        return Label(f"{number}{unit}", f"{number}%")
    chinese = {"months": "个月", "days": "天", "years": "岁", "points": "分", "m2": "平方米"}
    english = {"m2": "m²", "count": ""}.get(unit, unit)
    # "Months since default: 34" needs no second "months".
    if english in definition.meaning_en.split():
        english = ""
    return Label(f"{number} {english}".strip(), f"{number}{chinese.get(unit, '')}")


def _level(value: float | str, definition: FeatureDefinition) -> Label:
    if definition.kind == "flag":
        code = "yes" if value else "no"
    else:
        code = value if isinstance(value, str) else definition.levels[int(value)]
    label = level_label(definition.name, code)
    return label if label.zh else Label(label.en, label.en)
