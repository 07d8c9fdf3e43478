"""Why a loan's forecast is what it is, as sentences with the loan's own values."""

import re
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.spec import FeatureDefinition, FeatureSpec
from models.recovery import Contributions
from models.rounding import apportion
from models.wording import capital, value_label

WHY_ENGLISH: Final = "why_en"
WHY_CHINESE: Final = "why_zh"
# Sentences give points to one decimal.
_UNITS: Final = 1000
_REMARK: Final = re.compile(r"[(（][^)）]*[)）]")


def reason_columns(
    block: pl.DataFrame,
    why: Contributions,
    order: NDArray[np.intp],
    spec: FeatureSpec,
    currency: str,
) -> dict[str, pl.Series]:
    """Sentences that lead from the average loan to the forecast, factor by factor.

    Parameters
    ----------
    block : polars.DataFrame
        Feature frame of the loans.
    why : Contributions
        Their contributions.
    order : array of int, shape (loans, factors)
        Places of the factors to tell, the largest first.
    spec : FeatureSpec
        Features of the model.
    currency : str
        ISO 4217 code of amounts.

    Returns
    -------
    dict
        `why_en` and `why_zh`. The points of the sentences are rounded so that they add up to the
        forecast; a factor that rounds to nothing has no sentence.
    """
    told = np.take_along_axis(why.rate_points, order, axis=1)
    rate = why.base_rate + why.rate_points.sum(axis=1)
    rest = rate - why.base_rate - told.sum(axis=1)
    parts = np.column_stack([why.base_rate, told, rest]) * _UNITS
    ends = np.rint(rate * _UNITS).astype(np.int64)
    units = apportion(parts, ends)
    subjects = _subjects(block, order, spec, currency)
    rows = zip(units.tolist(), ends.tolist(), *(s.tolist() for s in subjects), strict=True)
    english, chinese = [], []
    for (start, *moves, others), end, names, chinese_names in rows:
        english.append(_english(start, moves, others, end, names))
        chinese.append(_chinese(start, moves, others, end, chinese_names))
    return {
        WHY_ENGLISH: pl.Series(english, dtype=pl.String),
        WHY_CHINESE: pl.Series(chinese, dtype=pl.String),
    }


def _subjects(
    block: pl.DataFrame, order: NDArray[np.intp], spec: FeatureSpec, currency: str
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """What each factor is with the loan's own value, in English and Chinese."""
    english = np.empty(order.shape, dtype=object)
    chinese = np.empty(order.shape, dtype=object)
    for place, definition in enumerate(spec.definitions):
        rows, ranks = np.nonzero(order == place)
        known: dict[float | str | None, tuple[str, str]] = {}
        for row, rank, value in zip(
            rows, ranks, block[definition.name].gather(rows).to_list(), strict=True
        ):
            if value not in known:
                known[value] = subject(value, definition, currency)
            english[row, rank], chinese[row, rank] = known[value]
    return english, chinese


def subject(
    value: float | str | None, definition: FeatureDefinition, currency: str
) -> tuple[str, str]:
    """A feature with a loan's value of it, in English and in Chinese.

    Examples
    --------
    >>> months = FeatureDefinition(
    ...     name="months_since_default", group="age", kind="number", unit="months", levels=(),
    ...     meaning_en="months since default", meaning_zh="账龄(违约至基准日月数)",
    ... )
    >>> subject(34.0, months, "CNY"), subject(None, months, "CNY")
    (('Months since default: 34', '账龄34个月'), ('Months since default: not stated', '账龄未提供'))
    """
    label = value_label(value, definition, currency)
    meaning = _REMARK.sub("", definition.meaning_zh)
    # Chinese sets no sign between a name and its number, but between a name and a word.
    colon = "：" if value is not None and definition.kind != "number" else ""
    return f"{capital(definition.meaning_en)}: {label.en}", f"{meaning}{colon}{label.zh}"


def _english(start: int, moves: list[int], others: int, end: int, names: list[str]) -> str:
    told = "".join(
        f" {name}, {'raises' if moved > 0 else 'lowers'} the expected recovery by"
        f" {_points(moved)} points."
        for name, moved in zip(names, moves, strict=True)
        if moved
    )
    rest = (
        f" All other factors {'raise' if others > 0 else 'lower'} it by {_points(others)} points."
        if others
        else ""
    )
    return f"The average loan: {_rate(start)}.{told}{rest} Expected recovery: {_rate(end)}."


def _chinese(start: int, moves: list[int], others: int, end: int, names: list[str]) -> str:
    told = "".join(
        f"{name}，使预期回收率{'提高' if moved > 0 else '降低'}{_points(moved)}个百分点；"
        for name, moved in zip(names, moves, strict=True)
        if moved
    )
    rest = (
        f"其余因素合计使其{'提高' if others > 0 else '降低'}{_points(others)}个百分点；"
        if others
        else ""
    )
    return f"平均贷款回收率{_rate(start)}；{told}{rest}预期回收率{_rate(end)}。"


def _points(units: int) -> str:
    return f"{abs(units) / 10:.1f}"


def _rate(units: int) -> str:
    return f"{'−' if units < 0 else ''}{abs(units) / 10:.1f}%"
