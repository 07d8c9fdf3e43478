"""Bring the levels of the simulated segments and cut-off years to their published targets."""

from collections.abc import Callable
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np

from features.sources.simulated_effects import Calibration, draw_block, logistic, raw_effects
from features.sources.simulated_facts import LEVELS, SEGMENTS, YEARS
from features.sources.simulated_packages import (
    AGE_SPREAD,
    MONTHS,
    ORIGINATOR_HOMES,
    REGION_SHOCK_SD,
    VINTAGE_SHOCK_SD,
    PackagePlan,
    places,
)
from features.sources.simulated_types import Floats
from features.tape import ASSET_CLASSES

_SEED: Final = 20_150_131
_LOANS_A_PACKAGE: Final = 150
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


def mean_over_shocks(function: Callable[[Floats], Floats], link: Floats) -> Floats:
    """Mean of a function of the link over the two normal shocks (Gauss-Hermite, nine nodes)."""
    spread = float(np.hypot(VINTAGE_SHOCK_SD, REGION_SHOCK_SD))
    total = np.zeros_like(link)
    for node, weight in zip(_NODES, _WEIGHTS / _WEIGHTS.sum(), strict=True):
        total += weight * function(link + spread * node)
    return total


@cache
def calibrate() -> Calibration:
    """Find the intercepts on a fixed sample of loans, the same for every seed.

    The claim-weighted mean of the level, over the sample and the shocks, is the target of each
    segment and cut-off year.
    """
    # Every class and month once, each year with every originator and the usual spread of ages.
    asset_class = np.tile(np.arange(len(ASSET_CLASSES)), MONTHS)
    month = np.repeat(np.arange(MONTHS), len(ASSET_CLASSES))
    normal = NormalDist()
    step = [normal.inv_cdf((5 * number % 12 + 0.5) / 12) for number in range(12)]
    plan = PackagePlan(
        asset_class=asset_class,
        month=month,
        originator=(7 * month + asset_class) % len(ORIGINATOR_HOMES),
        age_scale=np.exp(AGE_SPREAD * np.array(step)[month % 12]),
        first_loan=np.arange(len(month) + 1) * _LOANS_A_PACKAGE,
    )
    package = np.repeat(np.arange(len(month)), _LOANS_A_PACKAGE)
    loans, _ = draw_block(np.random.default_rng(_SEED), package, plan, places())
    raw = raw_effects(loans)
    segment, year = loans["segment"], loans["month"] // 12
    count = np.bincount(segment, minlength=len(SEGMENTS))
    mean = {
        name: np.bincount(segment, effect, minlength=len(SEGMENTS)) / count
        for name, effect in raw.items()
    }
    link = sum(
        (effect - mean[name][segment] for name, effect in raw.items()), np.zeros(len(package))
    )
    cell, weight = segment * YEARS + year, loans["claim_amount"]
    total = np.bincount(cell, weight, minlength=LEVELS.size)
    low, high = np.full(LEVELS.size, -8.0), np.full(LEVELS.size, 8.0)
    for _ in range(30):
        middle = (low + high) / 2
        level = mean_over_shocks(logistic, link + middle[cell])
        reached = np.bincount(cell, weight * level, minlength=LEVELS.size) / total
        below = reached < LEVELS.ravel()
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return Calibration(intercept=((low + high) / 2).reshape(LEVELS.shape), mean_effect=mean)
