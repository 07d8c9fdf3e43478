"""Region features: province or state, city tier, and regional series joined by publication date.

A six-digit GB/T 2260 code is read by its digits: two for the province, four for the prefecture.
A region outside the tables is missing, and flagged by the scoring path.
"""

import csv
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final

import polars as pl

from features.age import CUT_OFF
from features.feature import Feature

# Order matters for the rank: tiers of the National Bureau of Statistics' 70 cities, then the rest.
CITY_TIERS: Final = ("1", "2", "3", "other")
# Never part of a vocabulary: scored as missing, and flagged as unseen.
UNKNOWN_REGION: Final = "unknown"


@cache
def read_reference(name: str) -> tuple[dict[str, str], ...]:
    """Rows of a reference table in `features/reference/`."""
    with (files("features") / "reference" / name).open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _is_adcode(code: pl.Expr) -> pl.Expr:
    return code.str.contains(r"^\d{6}$")


def region_expression(column: str) -> pl.Expr:
    """ISO 3166-2 code of a region's province or state; `UNKNOWN_REGION` outside the table."""
    provinces = {row["adcode"][:2]: row["iso_3166_2"] for row in read_reference("provinces.csv")}
    code = pl.col(column)
    by_digits = code.str.slice(0, 2).replace_strict(
        provinces, default=UNKNOWN_REGION, return_dtype=pl.String
    )
    return pl.when(_is_adcode(code)).then(by_digits).otherwise(code)


def city_tier_expression(column: str) -> pl.Expr:
    """City tier of a GB/T 2260 code; missing for a whole province and outside China."""
    tiers = {row["adcode"][:4]: row["tier"] for row in read_reference("cities.csv")}
    code = pl.col(column)
    municipality = code.str.slice(0, 2).is_in(["11", "12", "31", "50"])
    prefecture = (
        pl.when(municipality).then(code.str.slice(0, 2) + "00").otherwise(code.str.slice(0, 4))
    )
    names_a_city = municipality | (prefecture.str.slice(2, 2) != "00")
    tier = prefecture.replace_strict(tiers, default="other", return_dtype=pl.String)
    return pl.when(_is_adcode(code) & names_a_city).then(tier)


def gdp_growth_expression(column: str) -> pl.Expr:
    """Growth of the province's nominal GDP over the newest two years published by the cut-off."""
    rows = read_reference("province_gdp.csv")
    region = region_expression(column)
    choices = []
    for published in sorted({row["published_date"] for row in rows}, reverse=True):
        growth = _growth_known([row for row in rows if row["published_date"] <= published])
        known = pl.col(CUT_OFF) >= date.fromisoformat(published)
        choices.append(
            pl.when(known).then(
                region.replace_strict(growth, default=None, return_dtype=pl.Float64)
            )
        )
    return pl.coalesce(choices)


def _growth_known(rows: list[dict[str, str]]) -> dict[str, float]:
    """Newest year-on-year growth of each province, keyed by ISO code, from published rows."""
    iso = {row["adcode"]: row["iso_3166_2"] for row in read_reference("provinces.csv")}
    by_province: dict[str, dict[int, float]] = {}
    for row in rows:
        by_province.setdefault(iso[row["adcode"]], {})[int(row["year"])] = float(
            row["gdp_100m_cny"]
        )
    growth = {}
    for province, by_year in by_province.items():
        newest = max(by_year)
        if newest - 1 in by_year:
            growth[province] = by_year[newest] / by_year[newest - 1] - 1
    return growth


FEATURES = (
    Feature(
        "region",
        "region",
        "category",
        region_expression("borrower_adcode"),
        "province or state of the borrower",
        "借款人所在省份/州",
    ),
    Feature(
        "city_tier",
        "region",
        "ordered",
        city_tier_expression("borrower_adcode"),
        "city tier of the borrower",
        "借款人城市等级",
        levels=CITY_TIERS,
    ),
    Feature(
        "collateral_region",
        "region",
        "category",
        region_expression("collateral_adcode"),
        "province or state of the collateral",
        "抵押物所在省份/州",
    ),
    Feature(
        "collateral_city_tier",
        "region",
        "ordered",
        city_tier_expression("collateral_adcode"),
        "city tier of the collateral",
        "抵押物城市等级",
        levels=CITY_TIERS,
    ),
    Feature(
        "province_gdp_growth",
        "region",
        "number",
        gdp_growth_expression("borrower_adcode"),
        "growth of the province's GDP, newest published",
        "省份最新公布GDP增速",
        "ratio",
    ),
)
