"""Sentences read back: the loan's own values, signs and sizes, adding up as they are printed."""

import re

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from models.reasons import chosen_values, reason_columns, subject
from models.recovery import Contributions, RecoveryModel
from models.scoring import score_loans
from models.trees import FeatureMatrix
from tests.models.conftest import definition

ENGLISH = re.compile(
    r"^The average loan: (−?[\d.]+)%\.(.*?)"
    r"(?: All other factors (raise|lower) it by ([\d.]+) points\.)?"
    r" Expected recovery: (−?[\d.]+)%\.$"
)
MOVE = re.compile(r" (.+?): (.+?), (raises|lowers) the expected recovery by ([\d.]+) points\.")
CHINESE_MOVE = re.compile(r"(?:，使预期回收率|使其)(提高|降低)([\d.]+)个百分点；")


@pytest.fixture(scope="module")
def scores(dated_model: RecoveryModel, simulated: Portfolio) -> pl.DataFrame:
    return score_loans(dated_model, simulated.tape.head(400), simulated.ledger, explain=True)


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_what_is_printed_adds_up_and_is_what_was_found(
    scores: pl.DataFrame, dated_model: RecoveryModel
) -> None:
    for row in scores.iter_rows(named=True):
        read = ENGLISH.match(row["why_en"])
        assert read is not None
        start, middle, sign, rest, end = read.groups()
        moves = MOVE.findall(middle)
        printed = [number(size) * (1 if way == "raises" else -1) for *_, way, size in moves]
        others = number(rest) * (1 if sign == "raise" else -1) if rest else 0.0
        assert number(start) + sum(printed) + others == pytest.approx(number(end), abs=1e-6)
        assert f"{number(end):.1f}" == f"{100 * row['recovery_rate']:.1f}"
        exact = [100 * row[f"factor_{place}_points"] for place in range(1, 6)]
        shown = [value for value in exact if abs(value) >= 0.1]
        assert printed[: len(shown)] == pytest.approx(shown, abs=0.1)
        names = [dated_model.spec.definition(row[f"factor_{p}"]) for p in range(1, 6)]
        for move, name in zip(moves, names, strict=False):
            assert move[0] == name.meaning_en[:1].upper() + name.meaning_en[1:]


def test_both_languages_say_the_same(scores: pl.DataFrame) -> None:
    for english, chinese in scores.select("why_en", "why_zh").iter_rows():
        said = re.findall(r"(raise|lower)s? (?:the expected recovery|it) by ([\d.]+)", english)
        words = {"raise": "提高", "lower": "降低"}
        assert CHINESE_MOVE.findall(chinese) == [(words[way], size) for way, size in said]
        assert re.findall(r"([−\d.]+)%\.", english)[-1] == re.findall(r"([−\d.]+)%。", chinese)[0]


def test_a_loan_by_hand() -> None:
    block = pl.DataFrame(
        {
            "income": pl.Series([None], dtype=pl.Float64),
            "security": pl.Series(["house"], dtype=pl.Enum(["cash", "house", "none"])),
            "grade": [1.0],
        }
    )
    why = Contributions(
        names=("income", "security", "grade"),
        base_score=np.array([0.4]),
        scores=np.array([[0.00034, -0.0324, 0.1]]),
        base_rate=np.array([0.4]),
        rate_points=np.array([[0.00034, -0.0324, 0.1]]),
        values=FeatureMatrix.of(block, ["income", "security", "grade"]),
    )
    definitions = (
        definition("income", "number"),
        definition("security", "category", ("cash", "house", "none")),
        definition("grade", "ordered", ("A", "B", "C")),
    )
    spec = type("Spec", (), {"definitions": definitions})
    order = np.array([[2, 1, 0]])
    chosen = chosen_values(why, order)
    found = reason_columns(why, order, chosen, spec, "CNY")  # type: ignore[arg-type]
    # 40.0 + 10.0 - 3.24 + 0.034 = 46.794: the income rounds to nothing and is not told.
    assert found["why_en"].to_list() == [
        "The average loan: 40.0%. Grade: B, raises the expected recovery by 10.0 points."
        " Security: house, lowers the expected recovery by 3.2 points. Expected recovery: 46.8%."
    ]
    assert found["why_zh"].to_list() == [
        "平均贷款回收率40.0%；数：B，使预期回收率提高10.0个百分点；数：house，使预期回收率降低3.2个百分点；"
        "预期回收率46.8%。"
    ]


def test_a_name_and_its_value() -> None:
    since = definition("months_since_default", "number").model_copy(
        update={"unit": "months", "meaning_zh": "账龄（违约至基准日月数）"}
    )
    assert subject(34.0, since, "CNY") == ("Months_since_default: 34 months", "账龄34个月")
    assert subject(None, since, "CNY")[1] == "账龄未提供"
    flag = definition("contactable", "flag").model_copy(update={"meaning_zh": "可联"})
    assert subject(0.0, flag, "CNY") == ("Contactable: no", "可联：否")


def test_money_is_in_the_tape_s_own_currency(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    dollars = simulated.tape.head(400).with_columns(currency=pl.lit("USD"))
    found = score_loans(dated_model, dollars, simulated.ledger, explain=True)
    texts = " ".join(found["why_en"])
    assert "USD " in texts
    assert "CNY" not in texts
