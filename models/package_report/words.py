"""Words of a package report: labels of its figures in English and Chinese, amounts in full."""

from datetime import date
from typing import Final

from models.wording import Label, signed

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


def cents(value: float) -> str:
    """Currency amount to the cent, with thousands separators.

    Examples
    --------
    >>> cents(-1234567.5)
    '−1,234,567.50'
    """
    return signed(f"{value:,.2f}")


def chinese_amount(value: float, currency: str) -> str:
    """Amount in 万元 or 亿元 for yuan; empty for other currencies, which are not counted so."""
    if currency != "CNY":
        return ""
    return f"{value / 1e8:,.2f} 亿元" if abs(value) >= 1e8 else f"{value / 1e4:,.1f} 万元"


def day_range(first: date, last: date) -> str:
    """One day, or the first and the last."""
    return str(first) if first == last else f"{first} – {last}"
