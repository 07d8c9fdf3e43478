"""Collateral, guarantees and court cases of simulated loans."""

from typing import Final

import numpy as np

from features.sources.simulated_borrowers import choose
from features.sources.simulated_loans import month_start
from features.sources.simulated_types import Bools, Columns, Floats, Ints
from features.tape import COLLATERAL_TYPES, GUARANTEES, LEGAL_STAGES, OCCUPANCIES

IN_SUIT: Final = LEGAL_STAGES.index("in_suit")
JUDGED: Final = LEGAL_STAGES.index("judged")
ENFORCING: Final = LEGAL_STAGES.index("enforcing")
_RESIDENTIAL: Final = COLLATERAL_TYPES.index("residential")
_LAND: Final = COLLATERAL_TYPES.index("land")

# Probability of each collateral type, in the order of `COLLATERAL_TYPES`, by asset class.
_TYPE_SHARES: Final = np.array(
    [
        [1.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [1.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.00, 0.00, 0.00, 0.00, 0.00, 1.00, 0.00, 0.00, 0.00, 0.00],
        [0.75, 0.20, 0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [1.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.38, 0.24, 0.06, 0.18, 0.06, 0.00, 0.04, 0.01, 0.03, 0.00],
        [0.05, 0.25, 0.10, 0.30, 0.20, 0.00, 0.04, 0.03, 0.03, 0.00],
    ]
)
_PLEDGED: Final = (COLLATERAL_TYPES.index("equity"), COLLATERAL_TYPES.index("receivable"))
# Also backed by a guarantor, by asset class: secured loans are then `mixed`, others `guarantee`.
_GUARANTOR_SHARE: Final = np.array([0.0, 0.02, 0.05, 0.15, 0.05, 0.40, 0.45])
_MEDIAN_LTV: Final = np.array([1.0, 1.0, 1.15, 0.72, 0.70, 0.75, 0.85])
_OCCUPANCY_SHARES: Final = np.array([0.18, 0.38, 0.12, 0.22, 0.10])

# Probability of each legal stage, in the order of `LEGAL_STAGES`, by age band, then unsecured and
# secured. Bands: 0-5, 6-17, 18-35, 36 months and more since default.
_AGE_BANDS: Final = np.array([6, 18, 36])
_STAGE_SHARES: Final = np.array(
    [
        [
            [0.88, 0.06, 0.05, 0.01, 0.00, 0.00, 0.00, 0.00],
            [0.60, 0.10, 0.24, 0.05, 0.01, 0.00, 0.00, 0.00],
        ],
        [
            [0.66, 0.10, 0.12, 0.07, 0.03, 0.02, 0.00, 0.00],
            [0.22, 0.08, 0.28, 0.22, 0.16, 0.03, 0.00, 0.01],
        ],
        [
            [0.52, 0.08, 0.08, 0.12, 0.08, 0.11, 0.01, 0.00],
            [0.10, 0.05, 0.14, 0.24, 0.34, 0.09, 0.02, 0.02],
        ],
        [
            [0.46, 0.06, 0.06, 0.12, 0.08, 0.19, 0.03, 0.00],
            [0.08, 0.04, 0.08, 0.20, 0.37, 0.16, 0.04, 0.03],
        ],
    ]
)


def draw_collateral(rng: np.random.Generator, loans: Columns) -> Columns:
    """Draw guarantee and collateral of a block of loans.

    Returns
    -------
    Columns
        Tape fields of the collateral group, `guarantee_type`, `guaranteed_pct`, and `ltv`:
        claim and prior liens over the appraised value (NaN where unsecured).
    """
    asset_class, secured = loans["asset_class"], loans["secured"]
    size = len(asset_class)
    kind = np.where(secured, choose(rng, _TYPE_SHARES[asset_class]), -1)
    guarantor = rng.random(size) < _GUARANTOR_SHARE[asset_class]
    lien_rank = np.where(rng.random(size) < 0.10, 2.0, 1.0)
    value = loans["claim_amount"] / _MEDIAN_LTV[asset_class] / rng.lognormal(0.0, 0.28, size)
    prior = np.where(lien_rank > 1, value * rng.uniform(0.1, 0.4, size), 0.0)
    value = np.ceil(value / 100) * 100
    prior = prior.round(2)
    valued = month_start(loans["snapshot_date"], -rng.integers(1, 30, size))
    building = secured & (kind <= _LAND)
    area = (value / 11_000 * rng.lognormal(0.0, 0.3, size)).clip(20.0).round(1)
    return {
        "guarantee_type": _guarantee_type(secured, kind, guarantor),
        "guaranteed_pct": np.where(guarantor, rng.uniform(0.3, 1.0, size).round(2), np.nan),
        "has_guarantor": guarantor,
        "collateral_type": kind,
        "appraised_value": _where(secured, value),
        "ltv": _where(secured, (loans["claim_amount"] + prior) / value),
        "valuation_date": np.where(secured, valued, np.datetime64("NaT", "D")),
        "lien_rank": _where(secured, lien_rank),
        "prior_lien_amount": _where(secured, prior),
        "mortgage_registered": np.where(secured, rng.random(size) < 0.93, -1),
        "occupancy": np.where(
            kind == _RESIDENTIAL,
            choose(rng, np.broadcast_to(_OCCUPANCY_SHARES, (size, len(OCCUPANCIES)))),
            -1,
        ),
        "area_m2": _where(building, area),
    }


def draw_cases(rng: np.random.Generator, loans: Columns) -> Columns:
    """Draw the legal stage of a block of loans, and what goes with it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the block.
    loans : Columns
        With the collateral's fields.
    """
    secured, age = loans["secured"], loans["age_months"]
    size = len(age)
    band = np.searchsorted(_AGE_BANDS, age, side="right")
    stage = choose(rng, _STAGE_SHARES[band, secured.astype(np.int64)])
    sued = stage >= IN_SUIT
    open_days = (loans["snapshot_date"] - loans["first_overdue_date"]).astype(np.int64)
    waited = np.floor(open_days * rng.uniform(0.3, 0.95, size)).astype("timedelta64[D]")
    lawsuit = loans["first_overdue_date"] + waited
    # Limitation runs three years from the default or, once judged, two for applying to enforce.
    expiry = np.where(
        stage >= JUDGED,
        month_start(lawsuit, np.full(size, 30)),
        month_start(loans["default_date"], np.full(size, 36)),
    )
    enforcing = stage >= ENFORCING
    at_auction = (stage == ENFORCING) & secured
    rounds = np.where(
        at_auction, choose(rng, np.broadcast_to([0.6, 0.28, 0.12], (size, 3))), np.nan
    )
    # Opening price: 70% of the appraisal, each further round 20% lower.
    reserve = loans["appraised_value"] * 0.7 * 0.8 ** np.nan_to_num(rounds)
    announced = at_auction & (rng.random(size) < 0.4)
    auction = loans["snapshot_date"] + rng.integers(10, 75, size).astype("timedelta64[D]")
    nowhere = np.datetime64("NaT", "D")
    return {
        "legal_stage": stage,
        "lawsuit_date": np.where(sued, lawsuit, nowhere),
        "limitation_expiry": expiry,
        "seizure_rank": _where(enforcing, np.where(rng.random(size) < 0.8, 1.0, 2.0)),
        "auction_round": rounds,
        "auction_reserve_price": _where(announced, reserve.round(2)),
        "auction_date": np.where(announced, auction, nowhere),
    }


def _guarantee_type(secured: Bools, kind: Ints, guarantor: Bools) -> Ints:
    of_secured = np.where(
        guarantor,
        GUARANTEES.index("mixed"),
        np.where(np.isin(kind, _PLEDGED), GUARANTEES.index("pledge"), GUARANTEES.index("mortgage")),
    )
    of_others = np.where(guarantor, GUARANTEES.index("guarantee"), GUARANTEES.index("credit"))
    return np.where(secured, of_secured, of_others)


def _where(applies: Bools, values: Floats) -> Floats:
    return np.where(applies, values, np.nan)
