"""The tables of names: complete, free of contradictions, and what they make of odd spelling."""

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from features import vocabulary
from features.tape import Tape

REFERENCE = Path(vocabulary.__file__).parent / "reference"
SYNONYMS = tomllib.loads((REFERENCE / "synonyms.toml").read_text(encoding="utf-8"))


def test_no_header_means_two_fields() -> None:
    fields = defaultdict(set)
    for field, column in Tape.columns().items():
        for name in (
            field,
            (column.metadata or {})["chinese"],
            *SYNONYMS["columns"].get(field, []),
        ):
            fields[vocabulary.folded(name)].add(field)
    assert {name: meant for name, meant in fields.items() if len(meant) > 1} == {}


def test_no_text_means_two_codes() -> None:
    for field, codes in SYNONYMS["values"].items():
        meant = defaultdict(set)
        for code, names in codes.items():
            for name in (code, *names):
                meant[vocabulary.folded(name)].add(code)
        assert {name: found for name, found in meant.items() if len(found) > 1} == {}, field


def test_synonyms_are_of_fields_and_codes_that_exist() -> None:
    assert set(SYNONYMS["columns"]) <= set(Tape.column_names())
    for field, codes in SYNONYMS["values"].items():
        if field != "currency":
            assert set(codes) <= set(vocabulary.allowed_codes(field)), field


def test_every_code_of_the_tape_stands_for_itself() -> None:
    for field in Tape.column_names():
        for code in vocabulary.allowed_codes(field):
            assert vocabulary.codes(field)[vocabulary.folded(code)] == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("广东省", "440000"),
        ("广东", "440000"),
        ("深圳市", "440300"),
        ("广东省深圳市", "440300"),
        ("广西南宁市", "450100"),
        ("北京", "110000"),
        ("内蒙古自治区", "150000"),
        ("台湾", "710000"),
    ],
)
def test_region_names(name: str, code: str) -> None:
    assert vocabulary.region_names()[vocabulary.folded(name)] == code


def test_region_codes_are_those_of_the_standard() -> None:
    codes = vocabulary.region_codes()
    assert len(codes) == 3_212
    provinces = {code for code in codes if code.endswith("0000")}
    assert len(provinces) == 34
    assert {code[:2] for code in codes} == {code[:2] for code in provinces}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("intrest_rate", "interest_rate"), ("LoanID", "loan_id"), ("colour of the house", None)],
)
def test_nearest(typed: str, meant: str | None) -> None:
    assert vocabulary.nearest(typed, Tape.column_names()) == meant
