"""Which name or code was meant: canonical names, synonyms of tapes, and known region codes."""

import csv
import difflib
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import polars as pl

from features.ledger import Ledger
from features.tape import Tape

_REFERENCE: Final = files("features") / "reference"
_BRACKETS: Final = re.compile(r"[(\[【{][^)\]】}]*[)\]】}]")
_PUNCTUATION: Final = re.compile(r"[\s_\-—/\\.,:;、·*#'\"|+&]+")
_ALIKE: Final = 0.66


def folded(name: str) -> str:
    """Return a header or code without case, width, blanks, punctuation and bracketed remarks.

    Examples
    --------
    >>> folded("未偿本金（万元）"), folded("Loan_ID"), folded("cut-off  date")
    ('未偿本金', 'loanid', 'cutoffdate')
    """
    text = unicodedata.normalize("NFKC", name).lower()
    without = _PUNCTUATION.sub("", _BRACKETS.sub("", text))
    # A name that is nothing but a remark or a sign, such as '$', is kept as it is.
    return without or text.strip()


@cache
def _synonyms() -> dict[str, Any]:
    return tomllib.loads((_REFERENCE / "synonyms.toml").read_text(encoding="utf-8"))


@cache
def headers() -> dict[str, str]:
    """Return canonical field by folded header: canonical, Chinese and synonymous names.

    A header that could stand for two fields is a mistake in the table and refused by its test.
    """
    known: dict[str, str] = {}
    for field, column in Tape.columns().items():
        known[folded(field)] = field
        known.setdefault(folded((column.metadata or {})["chinese"]), field)
    for field, names in _synonyms()["columns"].items():
        for name in names:
            known.setdefault(folded(name), field)
    return known


@cache
def codes(field: str) -> dict[str, str]:
    """Return allowed code by folded text for a field with codes; empty for other fields."""
    synonyms: dict[str, list[str]] = _synonyms()["values"].get(field, {})
    known = {folded(code): code for code in (*allowed_codes(field), *synonyms)}
    for code, names in synonyms.items():
        for name in names:
            known.setdefault(folded(name), code)
    return known


def allowed_codes(field: str) -> tuple[str, ...]:
    """Return the allowed codes of a field of tape or ledger, in schema order."""
    column = Tape.columns().get(field) or Ledger.columns().get(field)
    if column is None or not isinstance(column.dtype, pl.Enum):
        return ()
    return tuple(column.dtype.categories)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name most like `name` among `known`, None when none is much alike."""
    by_folded = {folded(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(folded(name), by_folded, n=1, cutoff=_ALIKE)
    return by_folded[found[0]] if found else None


def meant_code(field: str, value: str) -> str | None:
    """Return the allowed code that a value of `field` most likely stands for.

    Examples
    --------
    >>> meant_code("asset_class", "信用卡透支"), meant_code("guarantee_type", "mortgagee")
    ('credit_card', 'mortgage')
    """
    known = codes(field)
    if folded(value) in known:
        return known[folded(value)]
    found = difflib.get_close_matches(folded(value), known, n=1, cutoff=_ALIKE)
    return known[found[0]] if found else None


@cache
def region_codes() -> frozenset[str]:
    """Return the six-digit GB/T 2260 codes of the reference table."""
    text = (_REFERENCE / "adcodes.csv").read_text(encoding="utf-8")
    return frozenset(row["adcode"] for row in csv.DictReader(text.splitlines()))


@cache
def region_names() -> dict[str, str]:
    """Return GB/T 2260 code by folded name of provinces and prefectures, where a name has one code.

    A prefecture is also known by province and name together: 广东省广州市, 广东广州. Codes stand
    for themselves.
    """
    text = (_REFERENCE / "adcodes.csv").read_text(encoding="utf-8")
    names = {row["adcode"]: row["name"] for row in csv.DictReader(text.splitlines())}
    found: dict[str, set[str]] = {}
    for code, name in names.items():
        if not code.endswith("00"):
            continue
        spoken = {name, _short(name)}
        if not code.endswith("0000"):
            province = names[f"{code[:2]}0000"]
            spoken |= {
                before + after for before in (province, _short(province)) for after in spoken
            }
        for form in spoken:
            found.setdefault(folded(form), set()).add(code)
    return {form: next(iter(codes)) for form, codes in found.items() if len(codes) == 1}


def _short(name: str) -> str:
    """Return a region's everyday name: 广东省 is 广东, 广西壮族自治区 is 广西."""
    for ending in ("维吾尔自治区", "壮族自治区", "回族自治区", "特别行政区", "自治区", "省", "市"):
        if name.endswith(ending) and len(name) - len(ending) >= 2:
            return name.removesuffix(ending)
    return name
