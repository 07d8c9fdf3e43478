"""Provinces, city tiers and the growth of a province, held against hand-checked cities and sums."""

from datetime import date

import polars as pl
import pytest

from features.age import CUT_OFF
from features.region import (
    CITY_TIERS,
    city_tier_expression,
    gdp_growth_expression,
    read_reference,
    region_expression,
)

PUBLISHED = date(2025, 12, 31)


def value(expression: pl.Expr, code: str | None, cut_off: date = date(2026, 6, 30)) -> object:
    frame = pl.DataFrame({"code": [code], CUT_OFF: [cut_off]}, schema_overrides={"code": pl.String})
    return frame.select(expression.alias("value")).item()


@pytest.mark.parametrize(
    ("code", "region", "tier"),
    [
        ("440300", "CN-GD", "1"),  # Shenzhen
        ("440305", "CN-GD", "1"),  # its district Nanshan
        ("110105", "CN-BJ", "1"),  # Chaoyang, a district of Beijing
        ("110000", "CN-BJ", "1"),  # Beijing as a whole is a city
        ("310115", "CN-SH", "1"),  # Pudong
        ("120101", "CN-TJ", "2"),
        ("500101", "CN-CQ", "2"),
        ("330100", "CN-ZJ", "2"),  # Hangzhou
        ("450300", "CN-GX", "3"),  # Guilin
        ("320500", "CN-JS", "other"),  # Suzhou is not among the Bureau's 70 cities
        ("429004", "CN-HB", "other"),  # Xiantao, a county-level city right under the province
        ("440000", "CN-GD", None),  # a whole province is no city
        ("US-CA", "US-CA", None),
        ("CN-GD", "CN-GD", None),
        ("990100", "unknown", "other"),
        (None, None, None),
    ],
)
def test_hand_checked_places(code: str | None, region: str | None, tier: str | None) -> None:
    assert value(region_expression("code"), code) == region
    assert value(city_tier_expression("code"), code) == tier


def test_tiers_are_those_of_the_seventy_cities_release() -> None:
    rows = read_reference("cities.csv")
    counts = {tier: sum(row["tier"] == tier for row in rows) for tier in CITY_TIERS}
    assert counts == {"1": 4, "2": 31, "3": 35, "other": 1}


@pytest.mark.parametrize(
    ("cut_off", "growth"),
    [
        (date(2025, 12, 30), None),
        (PUBLISHED, 141_633.8 / 137_905.4 - 1),
        (date(2026, 6, 30), 141_633.8 / 137_905.4 - 1),
    ],
)
def test_growth_is_known_from_its_publication_on(cut_off: date, growth: float | None) -> None:
    # Guangdong: 14,163.38 billion yuan in 2024 after 13,790.54 billion in 2023.
    found = value(gdp_growth_expression("code"), "440300", cut_off)
    assert found == (None if growth is None else pytest.approx(growth, abs=1e-15))


def test_falling_and_unknown_provinces() -> None:
    # Shanxi's economy shrank in 2024.
    assert value(gdp_growth_expression("code"), "140100") == pytest.approx(25_494.7 / 26_050.8 - 1)
    assert value(gdp_growth_expression("code"), "US-CA") is None
    assert value(gdp_growth_expression("code"), None) is None


def test_a_later_publication_takes_over_on_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "provinces.csv": ({"adcode": "440000", "iso_3166_2": "CN-GD", "province": "广东省"},),
        "province_gdp.csv": tuple(
            {"adcode": "440000", "year": year, "gdp_100m_cny": gdp, "published_date": published}
            for year, gdp, published in (
                ("2020", "100", "2021-02-01"),
                ("2021", "110", "2022-02-01"),
                ("2022", "99", "2023-02-01"),
            )
        ),
    }
    monkeypatch.setattr("features.region.read_reference", tables.__getitem__)
    growth = gdp_growth_expression("code")
    found = [
        value(growth, "440300", day)
        for day in (date(2021, 6, 1), date(2022, 1, 31), date(2022, 2, 1), date(2023, 2, 1))
    ]
    assert found == [None, None, pytest.approx(0.1), pytest.approx(-0.1)]
