"""The packages of a simulated portfolio, where its borrowers live, and the shocks they share."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from features.region import CITY_TIERS, read_reference
from features.sources.simulated_facts import FIRST_YEAR, HOUSE_PRICE_CHANGE, YEARS
from features.sources.simulated_types import Bools, Dates, Floats, Ints
from features.tape import ASSET_CLASSES

QUARTERS: Final = 4 * YEARS
MONTHS: Final = 12 * YEARS
# Standard deviations on the link (logit) scale of the recovery level. Together 0.21: an unsecured
# package then misses its expectation by about 14% (one standard deviation of the vintage).
VINTAGE_SHOCK_SD: Final = 0.15
REGION_SHOCK_SD: Final = 0.15
CLASS_SHARE: Final = np.array([0.26, 0.20, 0.10, 0.12, 0.19, 0.10, 0.03])
MOST_PACKAGES: Final = 1500
_LOANS_A_PACKAGE: Final = 100
# Spread of the logarithm of a package's ages, relative to its class.
AGE_SPREAD: Final = 0.25

# One further prefecture-level city outside the Bureau's 70 for each province that has one
# (GB/T 2260), so that the lowest tier is met everywhere.
_OTHER_CITIES: Final = re.findall(
    r"\d{6}",
    "130400 140200 150400 210300 220300 230200 320600 330500 340200 350600 360900 370700 410700"
    " 421000 430200 440600 450200 460400 510700 520200 530300 540200 610300 620500 630200 640200"
    " 650200",
)
# Borrowers whose city is not known carry the code of their province.
_PROVINCE_ONLY: Final = [code[:2] + "0000" for code in _OTHER_CITIES]
_TIER_WEIGHT: Final = {"1": 3.0, "2": 1.2, "3": 0.5, "other": 0.7}
_PROVINCE_ONLY_WEIGHT: Final = 0.15
# Home provinces of the regional originators; the others lend nationwide.
ORIGINATOR_HOMES: Final = (None, None, None, None, None, "32", "33", "37", "44", "51", "42", "21")
_HOME_TILT: Final = 25.0
# The four regions of the Bureau of Statistics, by the first two digits of the code.
_EAST: Final = ("11", "12", "13", "31", "32", "33", "35", "37", "44", "46")
_CENTRE: Final = ("14", "34", "36", "41", "42", "43")
_NORTHEAST: Final = ("21", "22", "23")
MACRO_REGIONS: Final = ("east", "centre", "west", "northeast")


@dataclass(frozen=True)
class Places:
    """Where a borrower can live: one entry a GB/T 2260 code."""

    adcode: tuple[str, ...]
    province: Ints  # position among the provinces that occur
    tier: Ints  # position in CITY_TIERS
    macro_region: Ints  # position in MACRO_REGIONS
    city_known: Bools  # false where the code names a province only
    cumulative_weight: Floats  # one row an originator


def places() -> Places:
    """Return the table of places, the same for every seed."""
    tiers = {row["adcode"]: row["tier"] for row in read_reference("cities.csv")}
    codes = [*tiers, *_OTHER_CITIES, *_PROVINCE_ONLY]
    tier = [tiers.get(code, "other") for code in codes]
    weights = np.array([_TIER_WEIGHT[name] for name in tier])
    weights[-len(_PROVINCE_ONLY) :] = _PROVINCE_ONLY_WEIGHT
    by_home = np.array(
        [
            [
                w * (_HOME_TILT if code[:2] == home else 1.0)
                for code, w in zip(codes, weights, strict=True)
            ]
            for home in ORIGINATOR_HOMES
        ]
    )
    provinces = sorted({code[:2] for code in codes})
    return Places(
        adcode=tuple(codes),
        province=np.array([provinces.index(code[:2]) for code in codes]),
        tier=np.array([CITY_TIERS.index(name) for name in tier]),
        macro_region=np.array([_macro_region(code[:2]) for code in codes]),
        city_known=np.arange(len(codes)) < len(codes) - len(_PROVINCE_ONLY),
        cumulative_weight=np.cumsum(by_home, axis=1) / by_home.sum(axis=1, keepdims=True),
    )


def _macro_region(province: str) -> int:
    for position, group in ((0, _EAST), (1, _CENTRE), (3, _NORTHEAST)):
        if province in group:
            return position
    return 2


def house_price_change(place_tier: Ints, place: Ints, month: Ints) -> Floats:
    """Change of a city's house prices over the 36 months to the cut-off, fraction.

    The national change, wider in first-tier cities, with a lasting difference of each city and a
    local cycle of five years.

    Parameters
    ----------
    place_tier, place : array of int
        Tier and position of the city in `places()`.
    month : array of int
        Months of the cut-off since January of the first cut-off year.
    """
    at_year_ends = np.arange(-1, 12 * YEARS, 12)
    national = np.interp(month, at_year_ends, HOUSE_PRICE_CHANGE)
    tilt = np.array([1.3, 1.1, 0.9, 0.8])[place_tier]
    lasting = 0.14 * np.sin(2.4 * place)
    cycle = 0.08 * np.sin(2 * np.pi * month / 60 + 1.7 * place)
    return np.asarray(national * tilt + lasting + cycle)


@dataclass(frozen=True)
class PackagePlan:
    """One entry a package; loans of a package follow one another on the tape."""

    asset_class: Ints
    month: Ints  # of the cut-off, since January of the first cut-off year
    originator: Ints
    age_scale: Floats  # ratio of the package's ages to those usual in its class
    first_loan: Ints  # position of its first loan, and last the number of loans

    @property
    def identifier(self) -> list[str]:
        """Package ids: asset class, cut-off month, originator."""
        return [
            f"{ASSET_CLASSES[c]}-{FIRST_YEAR + m // 12}{m % 12 + 1:02d}-{o + 1:02d}"
            for c, m, o in zip(
                self.asset_class.tolist(),
                self.month.tolist(),
                self.originator.tolist(),
                strict=True,
            )
        ]


def draw_packages(rng: np.random.Generator, loans: int, months: int) -> PackagePlan:
    """Lay out the packages of a portfolio.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the plan.
    loans : int
        Loans in all packages together.
    months : int
        Cut-offs fall at the ends of the first `months` months.
    """
    count = min(max(loans // _LOANS_A_PACKAGE, len(ASSET_CLASSES)), MOST_PACKAGES, loans)
    by_class = np.maximum(np.floor(count * CLASS_SHARE).astype(np.int64), 1)
    by_class[0] += max(count - by_class.sum(), 0)
    asset_class = np.repeat(np.arange(len(ASSET_CLASSES)), by_class)
    within = np.concatenate([np.arange(n) for n in by_class])
    spread = (within + rng.random(len(asset_class))) / by_class[asset_class]
    weight = rng.lognormal(0.0, 0.5, len(asset_class))
    # The classes' shares of loans hold whatever the draw of package sizes.
    weight *= (CLASS_SHARE / np.bincount(asset_class, weight))[asset_class]
    counts = rng.multinomial(loans, weight / weight.sum())
    return PackagePlan(
        asset_class=asset_class,
        month=np.floor(spread * months).astype(np.int64),
        originator=rng.integers(len(ORIGINATOR_HOMES), size=len(asset_class)),
        age_scale=rng.lognormal(0.0, AGE_SPREAD, len(asset_class)),
        first_loan=np.concatenate([[0], np.cumsum(counts)]),
    )


@dataclass(frozen=True)
class Shocks:
    """Shared deviations of the recovery level on the link scale, by cut-off quarter."""

    vintage: Floats
    region: Floats  # province by cut-off quarter


def draw_shocks(rng: np.random.Generator) -> Shocks:
    """Draw the shocks that loans of a quarter, and of a province in a quarter, share."""
    provinces = int(places().province.max()) + 1
    return Shocks(
        vintage=rng.normal(0.0, VINTAGE_SHOCK_SD, QUARTERS),
        region=rng.normal(0.0, REGION_SHOCK_SD, (provinces, QUARTERS)),
    )


def month_end(month: Ints) -> Dates:
    """Last day of a month counted from January of the first cut-off year."""
    start = np.datetime64(f"{FIRST_YEAR}-01", "M") + month + 1
    return np.asarray(start.astype("datetime64[D]") - np.timedelta64(1, "D"))
