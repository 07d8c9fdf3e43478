"""What drives the recovery of a simulated loan: additive effects on the logit of its level.

Every driver but the shocks is on the tape, so that a model can learn it. The sizes are assumptions,
in line with what is published: contact, payment history, age and collateral matter most.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.sources.simulated_borrowers import MEDIAN_INCOME, draw_borrowers
from features.sources.simulated_collateral import draw_cases, draw_collateral
from features.sources.simulated_loans import MEDIAN_CLAIM, MORTGAGE, draw_loans
from features.sources.simulated_packages import PackagePlan, Places, Shocks
from features.sources.simulated_payments import LedgerRows, draw_payments
from features.sources.simulated_types import Columns, Floats, Ints
from features.tape import COLLATERAL_TYPES

# Two numbers a driver: unsecured, secured.
_CLAIM_SLOPE: Final = np.array([-0.18, -0.12])
_AGE_SLOPE: Final = np.array([-0.50, -0.30])
_REGION: Final = np.array([[0.10, 0.0, -0.08, -0.20], [0.12, 0.0, -0.10, -0.25]])
_TIER: Final = np.array([[0.15, 0.05, -0.05, -0.15], [0.30, 0.10, -0.10, -0.30]])
_STAGE: Final = np.array(
    [
        [0.0, 0.25, 0.05, 0.15, 0.10, -0.60, -0.70, -0.80],
        [0.0, 0.20, 0.05, 0.20, 0.25, -0.45, -0.60, -0.60],
    ]
)
_INCOME_SLOPE: Final = np.array([0.30, 0.10])
_EMPLOYMENT: Final = np.array([0.10, 0.0, -0.30, -0.05, 0.0])
_CONTACTABLE: Final = np.array([0.80, 0.25])
_CONTACT_FADES: Final = np.array([-0.18, -0.05])
_DISHONEST: Final = np.array([-0.45, -0.30])
_PAID: Final = np.array([0.90, 0.60])
_PAID_SCALE: Final = 0.03
_GUARANTEE: Final = np.array([0.0, 0.30, 0.0, -0.10, 0.20])
_FIVE_CATEGORY: Final = np.array([0.30, 0.20, 0.12, 0.0, -0.20])
_GRADE_STEP: Final = np.array([-0.22, -0.15])
_COLLATERAL: Final = np.array([0.15, -0.10, -0.15, -0.30, -0.25, 0.0, -0.35, -0.30, -0.30, 0.0])
_LTV_SLOPE: Final = -1.2
_LIEN: Final = -0.50
# Of mortgages, and of other loans secured by buildings or land.
_HOUSE_PRICE_SLOPE: Final = (6.0, 4.0)
_LTV_BY_HOUSE_PRICE: Final = 3.0
_OCCUPANCY: Final = np.array([0.10, 0.0, -0.05, -0.30, 0.0])


def draw_block(
    rng: np.random.Generator, package: Ints, plan: PackagePlan, where: Places
) -> tuple[Columns, LedgerRows]:
    """Draw everything known of a block of loans at the cut-off, and its payments up to then."""
    loans = draw_loans(rng, package, plan)
    loans |= draw_borrowers(rng, loans, where)
    loans |= draw_collateral(rng, loans)
    loans |= draw_cases(rng, loans)
    paid, rows = draw_payments(rng, loans)
    return loans | paid, rows


def raw_effects(loans: Columns) -> dict[str, Floats]:
    """Return the effect of each driver on the link scale, not yet centred."""
    security = loans["secured"].astype(np.int64)
    aging = np.log1p(loans["age_months"] / 6.0)
    contact = loans["contactable"].astype(np.float64)
    income = np.log(np.nan_to_num(loans["annual_income"], nan=MEDIAN_INCOME) / MEDIAN_INCOME)
    relative_claim = np.log(loans["claim_amount"] / MEDIAN_CLAIM[loans["segment"]])
    paid_rate = loans["paid_last_12m"] / loans["claim_amount"]
    leverage = np.nan_to_num(loans["ltv"], nan=0.75).clip(0.2, 1.8) - 0.75
    building = (loans["collateral_type"] >= 0) & (
        loans["collateral_type"] < COLLATERAL_TYPES.index("vehicle")
    )
    mortgage = loans["asset_class"] == MORTGAGE
    prices = np.where(building, loans["house_price_index_change_true"], 0.0)
    return {
        "claim_amount": _CLAIM_SLOPE[security] * relative_claim.clip(-2.0, 2.0),
        "months_since_default": _AGE_SLOPE[security] * aging,
        "region": _REGION[security, loans["macro_region"]],
        "city_tier": _TIER[security, loans["tier"]],
        "legal_stage": _STAGE[security, loans["legal_stage"]],
        "annual_income": _INCOME_SLOPE[security] * income.clip(-1.5, 1.5),
        "employment_status": _of_level(_EMPLOYMENT, loans["employment_status"]),
        "contactable": _CONTACTABLE[security] * contact,
        "contactable_by_age": _CONTACT_FADES[security] * contact * aging,
        "dishonest_flag": _DISHONEST[security] * loans["dishonest_flag"],
        "paid_last_12m": _PAID[security] * -np.expm1(-paid_rate / _PAID_SCALE),
        "guarantee_type": _GUARANTEE[loans["guarantee_type"]],
        "five_category": _FIVE_CATEGORY[loans["five_category"]],
        "internal_grade": _GRADE_STEP[security] * loans["internal_grade"],
        "collateral_type": _of_level(_COLLATERAL, loans["collateral_type"]),
        "loan_to_value": _LTV_SLOPE * leverage,
        "lien_rank": _LIEN * (np.nan_to_num(loans["lien_rank"], nan=1.0) - 1.0),
        "house_price_index_change": prices * np.where(mortgage, *_HOUSE_PRICE_SLOPE),
        "loan_to_value_by_house_price": _LTV_BY_HOUSE_PRICE * leverage * prices,
        "occupancy": _of_level(_OCCUPANCY, loans["occupancy"]),
    }


def _of_level(effects: Floats, level: Ints) -> Floats:
    return np.where(level >= 0, effects[level], 0.0)


@dataclass(frozen=True)
class Calibration:
    """Constants that bring the levels of each segment and year to their targets.

    Parameters
    ----------
    intercept : array of float
        Segment by cut-off year, on the link scale.
    mean_effect : dict of str to array of float
        Mean effect of each driver in each segment, taken off so that effects centre on zero.
    """

    intercept: Floats
    mean_effect: dict[str, Floats]

    @property
    def base(self) -> float:
        """Mean of the intercepts: the link of a loan without any effect."""
        return float(self.intercept.mean())


def link_effects(loans: Columns, calibration: Calibration) -> dict[str, Floats]:
    """Return each driver's effect on the link scale, shocks aside.

    `calibration.base` and the effects add up to the link of the expected level.
    """
    segment, year = loans["segment"], loans["month"] // 12
    of_segment = calibration.intercept.mean(axis=1)
    return {
        "asset_class": of_segment[segment] - calibration.base,
        "cut_off_year": calibration.intercept[segment, year] - of_segment[segment],
    } | {
        name: effect - calibration.mean_effect[name][segment]
        for name, effect in raw_effects(loans).items()
    }


def shock_effects(loans: Columns, shocks: Shocks) -> dict[str, Floats]:
    """Return the effects of the shocks shared by a quarter, and by a province in a quarter."""
    quarter = loans["month"] // 3
    return {
        "vintage_shock": shocks.vintage[quarter],
        "region_shock": shocks.region[loans["province"], quarter],
    }


def logistic(link: Floats) -> Floats:
    """Inverse of the logit."""
    return np.asarray(1.0 / (1.0 + np.exp(-link)))
