"""Values, levels and numbers as a person writes them, in both languages."""

import pytest

from features.spec import FeatureDefinition
from models.wording import amount, level_label, rate, value_label


def define(kind: str, unit: str, name: str = "some_feature", **more: object) -> FeatureDefinition:
    fields = {"group": "borrower", "levels": (), "meaning_en": "m", "meaning_zh": "m"}
    return FeatureDefinition.model_validate(
        fields | {"name": name, "kind": kind, "unit": unit} | more
    )


@pytest.mark.parametrize(
    ("kind", "unit", "value", "english", "chinese"),
    [
        ("number", "ratio", 0.58661, "58.7%", "58.7%"),
        ("number", "currency", 4_891_300.4, "CNY 4,891,300", "4,891,300元"),
        ("number", "months", 98.0, "98 months", "98个月"),
        ("number", "years", 41.0, "41 years", "41岁"),
        ("number", "year", 2021.0849, "2021-02", "2021-02"),
        ("number", "year", 2020.999, "2020-12", "2020-12"),
        ("number", "% a year", 5.4, "5.4% a year", "5.4%"),
        ("number", "m2", 88.25, "88.25 m²", "88.25平方米"),
        ("number", "", -3.0, "−3", "−3"),
        ("flag", "", 1.0, "yes", "是"),
        ("flag", "", 0.0, "no", "否"),
        ("category", "", "planned_unit", "planned unit", "planned unit"),
        ("category", "", None, "not stated", "未提供"),
        ("number", "ratio", None, "not stated", "未提供"),
    ],
)
def test_values_read_as_a_person_writes_them(
    kind: str, unit: str, value: float | str | None, english: str, chinese: str
) -> None:
    assert value_label(value, define(kind, unit), "CNY") == (english, chinese)


def test_ranks_are_their_levels_in_the_words_of_the_schema() -> None:
    classes = define("ordered", "", "five_category", levels=("normal", "special_mention", "loss"))
    assert value_label(2.0, classes, "CNY") == ("loss", "损失")
    assert value_label("credit_card", define("category", "", "asset_class"), "CNY").zh == "信用卡"
    assert level_label("region", "CN-GD") == ("CN-GD", "广东省")


def test_a_unit_that_the_name_says_is_not_said_twice() -> None:
    since = define("number", "months", meaning_en="months since default")
    assert value_label(34.0, since, "CNY") == ("34", "34个月")


def test_other_currencies_bear_their_code() -> None:
    assert value_label(1e6, define("number", "currency"), "USD") == (
        "USD 1,000,000",
        "1,000,000 USD",
    )


def test_numbers_have_separators_and_a_real_minus() -> None:
    assert (amount(1234567.4), amount(-0.2), amount(-1500.0)) == ("1,234,567", "0", "−1,500")
    assert (amount(None), rate(None), rate(-0.031)) == ("–", "–", "−3.1%")
