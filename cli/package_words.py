"""Words and numbers of a package report: labels in English and Chinese, formats, reasons."""

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any, Final, NamedTuple

from features.region import read_reference
from features.spec import FeatureDefinition, FeatureSpec
from features.vocabulary import codes
from models.scoring import FACTORS


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
DIMENSIONS: Final = {
    "asset_class": Label("Asset class", "资产类型"),
    "guarantee_type": Label("Guarantee", "担保方式"),
    "region": Label("Region of the borrower", "借款人地区"),
    "five_category": Label("Five-category class", "五级分类"),
    "written_off": Label("Written off", "核销"),
    "legal_stage": Label("Litigation stage", "诉讼状态"),
}
BASES: Final = {
    "ead": Label("On exposure (EAD)", "债权回收率"),
    "principal": Label("On principal", "本金回收率"),
    "principal_and_interest": Label("On principal + interest", "本息回收率"),
}
MEASURED_ON: Final = {
    "claim": Label("principal + interest + fees at the cut-off", "基准日本金+利息+费用"),
    "principal": Label("principal at the cut-off", "基准日本金"),
    "original_amount": Label("amount originally disbursed", "原始发放金额"),
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
    return "–" if value is None else _signed(f"{value:,.0f}")


def rate(value: float | None, digits: int = 1) -> str:
    """Fraction as a percentage; a dash where missing."""
    return "–" if value is None else _signed(f"{value:.{digits}%}")


def _signed(text: str) -> str:
    # A minus sign is as wide as a plus; nothing is "-0".
    plain = text.lstrip("-")
    return plain if text == plain or not re.search("[1-9]", plain) else "−" + plain


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
            return _signed(f"{scaled:,.{digits}f}") + unit
    return amount(value)


def chinese_amount(value: float, currency: str) -> str:
    """Amount in 万元 or 亿元 for yuan; empty for other currencies, which are not counted so."""
    if currency != "CNY":
        return ""
    return f"{value / 1e8:,.2f} 亿元" if abs(value) >= 1e8 else f"{value / 1e4:,.1f} 万元"


def day_range(first: date, last: date) -> str:
    """One day, or the first and the last."""
    return str(first) if first == last else f"{first} – {last}"


def capital(text: str) -> str:
    """Text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def feature_value(text: str | None, definition: FeatureDefinition, currency: str) -> Label:
    """Return a loan's own value as a person reads it, from the text in the scores."""
    if text is None:
        return NOT_STATED
    if definition.kind != "number":
        label = level_label(definition.name, text)
        return label if label.zh else Label(label.en, label.en)
    value, unit = float(text), definition.unit
    if unit == "ratio":
        return Label(*(rate(value),) * 2)
    if unit == "currency":
        return _money(value, currency)
    if unit == "year":
        month = round(value % 1 * 12) + 1
        return Label(*(f"{int(value)}-{month:02d}",) * 2)
    number = _signed(f"{value:,.0f}" if value == round(value) else f"{value:,.4g}")
    if unit.startswith("%"):
        return Label(f"{number}{unit}", f"{number}%")
    chinese = {"months": "个月", "days": "天", "years": "岁", "points": "分", "m2": "平方米"}
    english = {"m2": "m²", "count": ""}.get(unit, unit)
    return Label(f"{number} {english}".strip(), f"{number}{chinese.get(unit, '')}")


def reasons(loan: Mapping[str, Any], spec: FeatureSpec, currency: str) -> Label:
    """Why a loan's forecast is what it is, as sentences with the loan's own values.

    Parameters
    ----------
    loan : mapping
        A row of explained scores.
    spec : FeatureSpec
        Features of the model that scored it.
    currency : str
        ISO 4217 code.

    Returns
    -------
    Label
        Both empty where the scores are not explained.
    """
    if "base_rate" not in loan:
        return Label("", "")
    english: dict[bool, list[str]] = {True: [], False: []}
    chinese: dict[bool, list[str]] = {True: [], False: []}
    for place in range(1, FACTORS + 1):
        name = loan.get(f"factor_{place}")
        if name is None:
            continue
        moved, definition = loan[f"factor_{place}_points"], spec.definition(name)
        value = feature_value(loan[f"factor_{place}_value"], definition, currency)
        if name == "ead":
            # The text of a value has six digits; the exposure stands in full beside it.
            value = _money(loan["ead"], currency)
        up, size = moved >= 0, _size(moved)
        lead = " points" if not english[up] else ""
        english[up].append(
            f"{size}{lead} {'from' if up else 'to'}"
            f" {_mid_sentence(definition.meaning_en)} ({value.en})"
        )
        verb = "提高" if up else "降低"
        chinese[up].append(f"{definition.meaning_zh}（{value.zh}）{verb}{size}个百分点")
    moves = [
        f"{verb} {_listed(english[up])}"
        for up, verb in ((True, "gains"), (False, "loses"))
        if english[up]
    ]
    start, end, rest = rate(loan["base_rate"]), rate(loan["recovery_rate"]), loan["other_points"]
    taken = "add" if rest >= 0 else "take away"
    return Label(
        f"Starting from {start}, the forecast {'; it '.join(moves)}."
        f" All other factors together {taken} {_size(rest)}, which gives {end}.",
        f"以{start}为起点：{'，'.join(chinese[True] + chinese[False])}；"
        f"其余因素合计{'提高' if rest >= 0 else '降低'}{_size(rest)}个百分点，得出{end}。",
    )


def _mid_sentence(text: str) -> str:
    """Text without its capital, unless the first word is a name or an abbreviation."""
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first[1:].islower() else text


def _size(moved: float) -> str:
    return f"{100 * abs(moved):.1f}"


def _money(value: float, currency: str) -> Label:
    unit = "元" if currency == "CNY" else f" {currency}"
    return Label(f"{currency} {amount(value)}", f"{amount(value)}{unit}")


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
