"""Every word is there in both languages, and numbers read as people write them."""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from features.segments import AGE_BANDS, EXPOSURE_BANDS
from training.report.part import Thresholds
from training.report.words import Kind, Words

BOOK: dict[str, Any] = tomllib.loads(
    (files("training.report") / "words.toml").read_text(encoding="utf-8")
)


def entries() -> Iterator[tuple[str, dict[str, str]]]:
    for section, held in BOOK.items():
        if section != "bands":
            for key, entry in held.items():
                yield f"{section}.{key}", entry


def test_each_entry_says_the_same_in_both_languages() -> None:
    for key, entry in entries():
        assert entry.keys() == {"en", "zh"}, key
        blanks = [sorted(set(re.findall(r"{(\w+)}", entry[name]))) for name in ("en", "zh")]
        assert blanks[0] == blanks[1], key
        assert not re.search("[\u4e00-\u9fff]", entry["en"]), key


def test_bands_and_limits_all_have_words() -> None:
    assert set(BOOK["bands"]) == {*AGE_BANDS, *EXPOSURE_BANDS}
    assert set(BOOK["threshold"]) == set(Thresholds.model_fields)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("count", 1234567, "1,234,567"),
        ("signed", -0.1124, "−11.2%"),
        ("signed", 0.0, "0.0%"),
        ("points", 0.0512, "+5.1"),
        ("p", 0.0004, "<0.001"),
        ("p", 0.0004999, "<0.001"),
        ("figure", -1.0, "−1.000"),
        ("months_signed", -2.25, "−2.2"),
        ("rate", None, "–"),
        ("rate", "too few", "too few"),
    ],
)
def test_numbers(kind: Kind, value: Any, text: str) -> None:
    assert Words("en", "CNY", 0.0).number(kind, value) == text


def test_money_in_the_units_of_each_language() -> None:
    chinese, english = Words("zh", "CNY", 5e9), Words("en", "CNY", 5e9)
    assert (chinese.money_unit, chinese.number("money", 12_345_678.0)) == ("万元", "1,234.6")
    assert (english.money_unit, english.number("money", 12_345_678.0)) == ("CNY m", "12.3")
    assert chinese.money(5_382_045_000.0) == "53.82亿元"
    assert english.money(5_382_045_000.0) == "CNY 5.38 bn"
    assert Words("zh", "USD", 5e9).money(-12_000.0) == "−1.20万美元"


def test_levels_read_in_each_language() -> None:
    chinese, english = Words("zh", "CNY", 0.0), Words("en", "CNY", 0.0)
    assert chinese.level("region", "CN-GD") == "广东省"
    assert chinese.level("age_band", "under 1 year") == "不足1年"
    assert chinese.level("guarantee", "credit") == "信用"
    assert (chinese.level("region", ""), english.level("region", "")) == ("未提供", "Not stated")
    assert english.level("asset_class", "credit_card") == "Credit card"
    assert english.known("reason", "workout open") == "Workout open"
    assert english.known("reason", "=1+1") == "=1+1"


def test_unknown_keys_are_errors() -> None:
    with pytest.raises(KeyError):
        Words("en", "CNY", 0.0)("summary.nothing")
