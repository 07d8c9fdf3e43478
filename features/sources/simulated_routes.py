"""How a simulated workout pays: routes, their timing, their costs and the court's fee.

Sources: State Council order 481 on litigation fees (2006); legal time limits of the Civil Procedure
Law; timing of rated mortgage deals (about 20, 40 and 50% of the claim by years 1, 2 and 3); costs
stated in rated deals (cards 8 and 15% of gross, auto 25%). The mix of routes is an assumption.
"""

from typing import Final

import numpy as np

from features.horizons import HORIZONS_MONTHS
from features.ledger import ROUTES
from features.sources.simulated_facts import WORKOUT_MONTHS
from features.sources.simulated_types import Floats

# Cumulative share of a route's cash by 6, 12, 24, 36, 48, 60 months; evenly spread in between.
# Key: route, is the segment secured, has the case been judged by the cut-off. A suit not yet judged
# brings nothing for half a year (first instance takes 3 to 6 months).
_SLOW = (0.22, 0.40, 0.66, 0.80, 0.91, 1.0)
_FAST = (0.42, 0.64, 0.84, 0.93, 0.98, 1.0)
_BEFORE_JUDGEMENT = (0.0, 0.11, 0.55, 0.75, 0.885, 1.0)
_AFTER_JUDGEMENT = (0.20, 0.42, 0.72, 0.84, 0.93, 1.0)
LITIGATED: Final = ("suit", "enforcement", "auction", "dation")
# Paid in up to this many consecutive months; the other routes pay once, or in scattered months.
SETTLEMENT_INSTALMENTS: Final = 3
# Most scattered payments of a workout by route; 1 is a lump.
MOST_PAYMENTS: Final = np.array([12, 12, SETTLEMENT_INSTALMENTS, 5, 8, 1, 1, 1, 1])

# Cost of a route relative to its class's cost share, and the class's share of gross.
COST_SHARE: Final = np.array([0.12, 0.13, 0.25, 0.08, 0.06, 0.08, 0.06])
COST_BY_ROUTE: Final = np.array([0.4, 1.1, 0.8, 1.1, 1.1, 1.1, 1.0, 0.7, 0.8])

# How a paying workout of each segment ends, in the order of `ROUTES`.
ROUTE_MIX: Final = np.array(
    [
        [0.10, 0.55, 0.25, 0.04, 0.04, 0.00, 0.00, 0.02, 0.00],
        [0.10, 0.50, 0.25, 0.06, 0.06, 0.00, 0.00, 0.03, 0.00],
        [0.08, 0.27, 0.20, 0.05, 0.08, 0.30, 0.00, 0.02, 0.00],
        [0.08, 0.40, 0.25, 0.10, 0.10, 0.00, 0.00, 0.05, 0.02],
        [0.10, 0.12, 0.18, 0.05, 0.08, 0.35, 0.05, 0.05, 0.02],
        [0.18, 0.15, 0.15, 0.04, 0.06, 0.36, 0.03, 0.03, 0.00],
        [0.05, 0.30, 0.25, 0.10, 0.12, 0.00, 0.00, 0.08, 0.10],
        [0.05, 0.10, 0.17, 0.06, 0.08, 0.36, 0.05, 0.08, 0.05],
        [0.02, 0.12, 0.25, 0.12, 0.17, 0.00, 0.00, 0.20, 0.12],
        [0.02, 0.06, 0.17, 0.06, 0.10, 0.32, 0.08, 0.14, 0.05],
    ]
)
# Once judged, enforcement and auction take over from talks and new suits.
JUDGED_TILT: Final = np.array([0.6, 0.6, 0.6, 0.3, 2.0, 1.7, 1.5, 1.0, 1.0])
# Share of the fruitless loans, not yet in suit at the cut-off, that are sued all the same.
FRUITLESS_SUIT_SHARE: Final = np.array([0.05, 0.08, 0.2, 0.3, 0.4, 0.4, 0.4, 0.5, 0.5, 0.6])
# A first suit is filed, and its fee paid, evenly over these months after the cut-off.
FILING_MONTHS: Final = 6

# State Council order 481, article 13: (upper bound of the band in yuan, rate in the band).
_ACCEPTANCE_BANDS = (
    (10_000, 0.0),
    (100_000, 0.025),
    (200_000, 0.02),
    (500_000, 0.015),
    (1_000_000, 0.01),
    (2_000_000, 0.009),
    (5_000_000, 0.008),
    (10_000_000, 0.007),
    (20_000_000, 0.006),
    (np.inf, 0.005),
)
_FLAT_FEE = 50.0


def acceptance_fee(claim_amount: Floats) -> Floats:
    """Fee for filing a property case (案件受理费), yuan.

    Parameters
    ----------
    claim_amount : array of float
        Amount in dispute, yuan.

    Examples
    --------
    >>> acceptance_fee(np.array([5_000.0, 1_000_000.0])).tolist()
    [50.0, 13800.0]
    """
    fee = np.full(claim_amount.shape, _FLAT_FEE)
    lower = 0.0
    for upper, rate in _ACCEPTANCE_BANDS:
        fee += rate * (np.minimum(claim_amount, upper) - lower).clip(min=0.0)
        lower = upper
    return fee


def route_mix(segment: int, judged: bool, guaranteed: bool) -> Floats:
    """Probability of each route, in the order of `ROUTES`, given that the workout pays at all."""
    mix = ROUTE_MIX[segment] * (JUDGED_TILT if judged else 1.0)
    mix[ROUTES.index("guarantor")] *= 2.0 if guaranteed else 0.0
    return np.asarray(mix / mix.sum())


def monthly_timing(route: str, secured: bool, judged: bool) -> Floats:
    """Share of a route's cash expected in each of the 60 months after the cut-off."""
    if route in LITIGATED:
        knots = _AFTER_JUDGEMENT if judged else _BEFORE_JUDGEMENT
    else:
        knots = _SLOW if secured else _FAST
    cumulative = np.interp(np.arange(WORKOUT_MONTHS + 1), (0, *HORIZONS_MONTHS), (0.0, *knots))
    return np.diff(cumulative)


def settlement_start(secured: bool) -> Floats:
    """Probability of the month in which a settlement's first instalment falls.

    No instalment may fall past the last month, so the last start is earlier.
    """
    timing = monthly_timing("settlement", secured, False)
    last = WORKOUT_MONTHS - SETTLEMENT_INSTALMENTS + 1
    start = np.where(np.arange(WORKOUT_MONTHS) < last, timing, 0.0)
    return np.asarray(start / start.sum())


def expected_timing(route: str, secured: bool, judged: bool) -> Floats:
    """Expected share of a route's cash in each month, instalments included.

    A settlement has 1, 2 or 3 equal-on-average instalments with equal probability, so month j after
    its start carries the mean over n > j of 1 / n.
    """
    if route != "settlement":
        return monthly_timing(route, secured, judged)
    start = settlement_start(secured)
    counts = range(1, SETTLEMENT_INSTALMENTS + 1)
    share = [
        float(np.mean([1 / n if n > j else 0.0 for n in counts]))
        for j in range(SETTLEMENT_INSTALMENTS)
    ]
    return np.asarray(np.convolve(start, share)[:WORKOUT_MONTHS])
