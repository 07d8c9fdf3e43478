"""The t-tests of loss estimates against realised losses."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.validation.thin import LEAST_TESTED_LOANS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TTest:
    """A t-test of realised less estimated loss rates.

    Attributes
    ----------
    loans : int
        Loans compared, N.
    mean : float, optional
        Mean of realised less estimated LGD, rate points; above 0: losses were underestimated.
    standard_deviation : float, optional
        s, with N - 1 in the denominator.
    statistic : float, optional
        T = sqrt(N) * mean / s.
    p_value : float, optional
        Chance of a T at least as extreme where the estimates are right.
    sides : {"two-sided", "one-sided"}
        Which alternative p speaks of.
    note : str, optional
        Why a figure is missing, or is to be read with care.
    """

    loans: int
    mean: float | None
    standard_deviation: float | None
    statistic: float | None
    p_value: float | None
    sides: Literal["two-sided", "one-sided"]
    note: str | None = None


def elbe_t_test(realised_lgd: Array, estimated_lgd: Array) -> TTest:
    """Two-sided test of best estimates of loans in default against what was lost.

    ECB, Instructions for reporting the validation results of internal models (February 2019),
    section 2.7: T = sqrt(N) * mean(d) / s with d = realised - estimated, p = 2(1 - F(abs T)) of
    Student's t with N - 1 degrees. (A public copy centres s on N * mean(d), which is a misprint.)

    Parameters
    ----------
    realised_lgd, estimated_lgd : array, shape (loans,)
        Loss rates, fractions of EAD; 1 - recovery rate. Not clipped.

    Raises
    ------
    ValueError
        When lengths differ or a value is not finite.
    """
    return _t_test(realised_lgd, estimated_lgd, "two-sided")


def lgd_t_test(realised_lgd: Array, estimated_lgd: Array) -> TTest:
    """One-sided test that losses were not underestimated (ECB 2019, section 2.6).

    H0: estimates are at least as high as what was lost; p = 1 - F(T). Parameters and errors are
    those of `elbe_t_test`.
    """
    return _t_test(realised_lgd, estimated_lgd, "one-sided")


def _t_test(realised: Array, estimated: Array, sides: Literal["two-sided", "one-sided"]) -> TTest:
    if len(realised) != len(estimated):
        raise ValueError(
            f"a t-test needs pairs; got {len(realised)} realised and {len(estimated)} estimated"
        )
    difference = realised - estimated
    if not np.isfinite(difference).all():
        raise ValueError(
            f"a t-test needs finite rates; {np.sum(~np.isfinite(difference))} pairs are not:"
            " leave open loans out"
        )
    count = len(difference)
    mean = float(np.mean(difference)) if count else None
    if count < 2 or mean is None:
        return TTest(count, mean, None, None, None, sides, f"{count} loans, 2 are needed")
    spread = float(np.std(difference, ddof=1))
    # Rounding leaves equal differences a spread of their last digits.
    if spread <= 1e-12 * max(1.0, abs(mean)):
        equal = "all differences are equal: s is 0 and T is not defined"
        return TTest(count, mean, 0.0, None, None, sides, equal)
    statistic = math.sqrt(count) * mean / spread
    two_sided = sides == "two-sided"
    tail = float(stats.t.sf(abs(statistic) if two_sided else statistic, count - 1))
    note = None
    if count < LEAST_TESTED_LOANS:
        note = f"too few: {count} loans, below {LEAST_TESTED_LOANS} p is only approximate"
    p_value = 2 * tail if two_sided else tail
    return TTest(count, mean, spread, statistic, p_value, sides, note)
