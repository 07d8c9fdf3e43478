"""The truth behind a simulated loan: expected recovery in closed form, and effects of drivers.

With G the logistic of the link, a workout pays with probability sqrt(G), takes one route r of the
loan's mix m, and then brings a share of the claim with mean sqrt(G); costs are a share c of gross
on average. A fee f is paid where a suit is filed. So the expected cumulative net recovery rate is

    net(h) = G * sum over r of m[r] * (1 - c[r]) * F[r](h)  -  P(filed) * f / claim * min(h / 6, 1)

with F the timing of the route's cash. Nothing in it is approximated, but that the amounts of the
ledger are rounded to cents.
"""

from typing import Final

import numpy as np

from features.horizons import HORIZONS_MONTHS
from features.ledger import ROUTES
from features.sources.simulated_calibration import mean_over_shocks
from features.sources.simulated_collateral import IN_SUIT, JUDGED
from features.sources.simulated_effects import Calibration, link_effects, logistic, shock_effects
from features.sources.simulated_facts import (
    SEGMENT_CLASS,
    SEGMENT_SECURED,
    SEGMENTS,
    WORKOUT_MONTHS,
)
from features.sources.simulated_loans import ENTERPRISE
from features.sources.simulated_packages import Shocks
from features.sources.simulated_routes import (
    COST_BY_ROUTE,
    COST_SHARE,
    FILING_MONTHS,
    FRUITLESS_SUIT_SHARE,
    LITIGATED,
    acceptance_fee,
    expected_timing,
    route_mix,
)
from features.sources.simulated_types import Bools, Columns, Floats, Ints

IS_LITIGATED: Final = np.isin(ROUTES, LITIGATED)


def route_key(loans: Columns) -> Ints:
    """Row of `route_tables` for each loan: segment, judged or not, guaranteed or not."""
    judged = (loans["legal_stage"] >= JUDGED).astype(np.int64)
    return np.asarray(4 * loans["segment"] + 2 * judged + loans["has_guarantor"])


def route_tables() -> tuple[Floats, Floats]:
    """Return the probability of each route and the share of gross kept by each horizon, by key."""
    mixes, kept = [], []
    for segment in range(len(SEGMENTS)):
        for judged in (False, True):
            timing = np.array(
                [expected_timing(route, bool(SEGMENT_SECURED[segment]), judged) for route in ROUTES]
            )
            cumulative = np.cumsum(timing, axis=1)[:, np.array(HORIZONS_MONTHS) - 1]
            margin = 1 - COST_SHARE[SEGMENT_CLASS[segment]] * COST_BY_ROUTE
            for guaranteed in (False, True):
                mixes.append(route_mix(segment, judged, guaranteed))
                kept.append((mixes[-1] * margin) @ cumulative)
    return np.array(mixes), np.array(kept)


def pay_probability(level: Floats) -> Floats:
    """Probability that a workout pays at all; given that it does, its mean is the same root."""
    return np.asarray(np.sqrt(level))


def filing_fee(loans: Columns) -> Floats:
    """Fee of the first suit, yuan; individuals' cases go by simple procedure at half the fee."""
    half = np.where(loans["borrower_type"] == ENTERPRISE, 1.0, 0.5)
    return np.asarray((acceptance_fee(loans["claim_amount"]) * half).round(2))


def not_yet_in_suit(loans: Columns) -> Bools:
    """Whether a suit would still have to be filed."""
    return np.asarray(loans["legal_stage"] < IN_SUIT)


def expected_rates(loans: Columns, level: Floats, pays: Floats) -> Floats:
    """Expected cumulative net recovery rates by horizon, loans by `HORIZONS_MONTHS`.

    Parameters
    ----------
    loans : Columns
        The block.
    level : array of float
        Expected gross recovery rate at 60 months.
    pays : array of float
        Probability that the workout pays at all.
    """
    mixes, kept = route_tables()
    key = route_key(loans)
    filed = pays * (mixes @ IS_LITIGATED)[key]
    filed += (1 - pays) * FRUITLESS_SUIT_SHARE[loans["segment"]]
    fee_rate = filed * not_yet_in_suit(loans) * filing_fee(loans) / loans["claim_amount"]
    by_then = np.minimum(np.array(HORIZONS_MONTHS) / FILING_MONTHS, 1.0)
    return np.asarray(level[:, None] * kept[key] - fee_rate[:, None] * by_then)


def true_rates(loans: Columns, effects: dict[str, Floats], base: float) -> dict[str, Floats]:
    """Return the columns of the truth table.

    Parameters
    ----------
    loans : Columns
        The block.
    effects : dict of str to array of float
        From `all_effects`.
    base : float
        Link without any effect.
    """
    link = total_link(effects, base)
    prior = link - effects["vintage_shock"] - effects["region_shock"]
    level, prior_level = logistic(link), mean_over_shocks(logistic, prior)
    pays = pay_probability(level)
    prior_pays = mean_over_shocks(lambda x: pay_probability(logistic(x)), prior)
    columns = {"claim_amount": loans["claim_amount"]}
    for name, rates in (
        ("true", expected_rates(loans, level, pays)),
        ("prior", expected_rates(loans, prior_level, prior_pays)),
    ):
        for position, horizon in enumerate(HORIZONS_MONTHS):
            columns[f"{name}_rate_{horizon}"] = rates[:, position]
        # The workout ends with the last horizon, so what is in by then is ultimate.
        columns[f"{name}_rate_ultimate"] = rates[:, HORIZONS_MONTHS.index(WORKOUT_MONTHS)]
    return columns | {
        "true_gross_rate": level,
        "prior_gross_rate": prior_level,
        "true_pay_probability": pays,
    }


def all_effects(loans: Columns, calibration: Calibration, shocks: Shocks) -> dict[str, Floats]:
    """Return each driver's effect on the link scale, shocks included."""
    return link_effects(loans, calibration) | shock_effects(loans, shocks)


def total_link(effects: dict[str, Floats], base: float) -> Floats:
    """Add the effects up to the link of the expected gross recovery."""
    return np.asarray(sum(effects.values(), np.float64(base)))


def rate_points(loans: Columns, effects: dict[str, Floats], base: float) -> dict[str, Floats]:
    """Effect of each driver on the expected ultimate net rate: with it, less without it.

    Routes and fees are held as they are, so that a driver's effect is the one on the level.
    """
    link = total_link(effects, base)
    level = logistic(link)
    kept = route_tables()[1][route_key(loans), -1]
    return {name: (level - logistic(link - effect)) * kept for name, effect in effects.items()}
