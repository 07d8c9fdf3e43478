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


def chosen_values(why: Contributions, order: NDArray[np.intp]) -> NDArray[np.object_]:
    """The loans' own values of the factors in `order`, of its shape.

    Returns
    -------
    array of object
        Numbers, categories as their levels, None where missing.
    """
    numbers = np.take_along_axis(why.values.values, order, axis=1)
    chosen = numbers.astype(object)
    known = ~np.isnan(numbers)
    chosen[~known] = None
    for place in set(order.ravel().tolist()):
        levels = why.values.levels.get(why.names[place])
        if levels is not None:
            rows = known & (order == place)
            chosen[rows] = np.array(levels, dtype=object)[numbers[rows].astype(np.intp)]
    return chosen


def reason_columns(
    why: Contributions,
    order: NDArray[np.intp],
    chosen: NDArray[np.object_],
    spec: FeatureSpec,
    currency: str,
) -> dict[str, pl.Series]:
    """Sentences that lead from the average loan to the forecast, factor by factor.

    Parameters
    ----------
    why : Contributions
        Contributions of the loans.
    order : array of int, shape (loans, factors)
        Places of the factors to tell, the largest first.
    chosen : array of object, shape (loans, factors)
        Their values; see `chosen_values`.
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
    subjects = _subjects(chosen, order, spec, currency)
    rows = zip(units.tolist(), ends.tolist(), *subjects, strict=True)
    english, chinese = [], []
    for (start, *moves, others), end, names, chinese_names in rows:
        english.append(_english(start, moves, others, end, names))
        chinese.append(_chinese(start, moves, others, end, chinese_names))
    return {
        WHY_ENGLISH: pl.Series(english, dtype=pl.String),
        WHY_CHINESE: pl.Series(chinese, dtype=pl.String),
    }


def _subjects(
    chosen: NDArray[np.object_], order: NDArray[np.intp], spec: FeatureSpec, currency: str
) -> tuple[list[list[str]], list[list[str]]]:
    """What each factor is with the loan's own value, in English and Chinese."""
    known: dict[tuple[int, float | str | None], tuple[str, str]] = {}
    english, chinese = [], []
    for row in zip(order.tolist(), chosen.tolist(), strict=True):
        told = []
        for key in zip(*row, strict=True):
            if key not in known:
                feature, value = key
                known[key] = subject(value, spec.definitions[feature], currency)
            told.append(known[key])
        english.append([one[0] for one in told])
        chinese.append([one[1] for one in told])
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
