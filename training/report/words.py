"""The words of a report in one language, and its numbers as that language writes them."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from models.wording import capital, level_label, rate, short_amount, signed

Language = Literal["zh", "en"]
Kind = Literal[
    "text",
    "count",
    "money",
    "money_signed",
    "rate",
    "rate0",
    "signed",
    "signed0",
    "points",
    "p",
    "figure",
    "factor",
    "decimal",
    "months",
    "months_signed",
]
DASH: Final = "–"
_CHINESE_CURRENCIES: Final = {"CNY": "元", "USD": "美元", "EUR": "欧元", "HKD": "港元"}
# Their levels are codes of the tape's own fields.
_FIELDS: Final = {"guarantee": "guarantee_type"}


@cache
def _book() -> dict[str, Any]:
    text = (files("training.report") / "words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class Words:
    """What a report says, in Chinese or in English.

    Parameters
    ----------
    language : {"zh", "en"}
        The language.
    currency : str
        ISO 4217 code.
    largest_amount : float
        The largest amount of the report, which picks the unit that its tables count in.
    """

    def __init__(self, language: Language, currency: str, largest_amount: float) -> None:
        self.language: Language = language
        self.currency = currency
        if language == "zh":
            large = largest_amount >= 1e6
            self._scale, word = (1e4, "万") if large else (1.0, "")
            self.money_unit = word + _CHINESE_CURRENCIES.get(currency, currency)
        else:
            steps = ((1e8, 1e6, " m"), (1e5, 1e3, " k"), (0.0, 1.0, ""))
            _, self._scale, word = next(s for s in steps if largest_amount >= s[0])
            self.money_unit = f"{currency}{word}"

    def __call__(self, key: str, **values: Any) -> str:
        """Return the words of a key such as `summary.title`, with values in their places.

        Raises
        ------
        KeyError
            When there are no words of that key.
        """
        return said(key, self.language, **values)

    def number(self, kind: Kind, value: Any) -> str:
        """Return a value as text; a dash where there is none, words where there are words."""
        if value is None:
            return DASH
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, bool):
            return self("word.yes" if value else "word.no")
        if isinstance(value, str):
            return value
        return _FORMATS[kind](value / self._scale if kind.startswith("money") else value)

    def known(self, kind: str, code: str) -> str:
        """Return the words of a code of a kind; the code itself where there are none."""
        entry = _book()[kind].get(code.replace(" ", "_").replace(",", ""))
        return code if entry is None else str(entry[self.language])

    def money(self, value: float) -> str:
        """Return an amount for a sentence, in the unit that suits it."""
        if self.language == "en":
            return f"{self.currency} {short_amount(value)}"
        unit = _CHINESE_CURRENCIES.get(self.currency, self.currency)
        for scale, word in ((1e8, "亿"), (1e4, "万")):
            if abs(value) >= scale:
                return signed(f"{value / scale:,.2f}") + word + unit
        return signed(f"{value:,.2f}") + unit

    def meaning(self, en: str, zh: str) -> str:
        """Return what a feature says."""
        return zh if self.language == "zh" else capital(en)

    def value(self, feature: str, text: str | None) -> str:
        """Return a loan's own value of a feature, a number or a code."""
        number = None if text is None else _number(text)
        if number is None:
            return self.level(feature, text or "")
        digits = ",.0f" if abs(number) >= 1_000 or number == round(number) else ",.3g"
        return signed(f"{number:{digits}}")

    def level(self, dimension: str, level: str) -> str:
        """Return a level of a dimension in words."""
        if not level:
            return self("word.not_stated")
        if self.language == "zh" and level in _book()["bands"]:
            return str(_book()["bands"][level])
        label = level_label(_FIELDS.get(dimension, dimension), level)
        if self.language == "zh":
            return label.zh or label.en
        return label.en if dimension == "region" else capital(label.en)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def said(key: str, language: Language, **values: Any) -> str:
    """Return the words of a key in a language."""
    entry: Mapping[str, Any] = _book()
    for name in key.split("."):
        entry = entry[name]
    words: str = entry[language]
    return words.format(**values)


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


_FORMATS: Final[Mapping[Kind, Callable[[Any], str]]] = {
    "text": str,
    "count": lambda value: signed(f"{value:,.0f}"),
    "money": lambda value: signed(f"{value:,.1f}"),
    "money_signed": lambda value: signed(f"{value:+,.1f}"),
    "rate": rate,
    "rate0": lambda value: rate(value, 0),
    "signed": lambda value: signed(f"{value:+.1%}"),
    "signed0": lambda value: signed(f"{value:+.0%}"),
    "points": lambda value: signed(f"{100 * value:+.1f}"),
    "p": _p,
    "figure": lambda value: signed(f"{value:.3f}"),
    "factor": lambda value: f"{value:.3f}",
    "decimal": lambda value: signed(f"{value:.2f}"),
    "months": lambda value: signed(f"{value:.1f}"),
    "months_signed": lambda value: signed(f"{value:+.1f}"),
}
