"""Discrimination: the generalised AUC with its standard error, its change, loss capture."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GeneralisedAuc:
    """Generalised AUC of a table of estimates against outcomes.

    Attributes
    ----------
    loans : int
        F, the sum of the table.
    auc : float, optional
        Chance that of two loans with different estimates the higher estimate has the higher
        outcome, ties on the outcome counting half; 0.5 tells nothing.
    standard_error : float, optional
        Asymptotic.
    note : str, optional
        Why there is none.
    """

    loans: int
    auc: float | None
    standard_error: float | None
    note: str | None = None


def generalised_auc(table: NDArray[np.int64]) -> GeneralisedAuc:
    """Generalised AUC, (D + 1) / 2 of Somers' D, with its standard error.

    ECB 2019, annex 3.2. Pairs tied on the estimate drop out: w_r = F^2 - sum r_i^2 are the others,
    each counted twice as P and Q are. s = sqrt(sum a_ij (w_r d_ij - (P - Q)(F - r_i))^2) / w_r^2
    with d_ij the concordant less the discordant loans of a cell.

    Parameters
    ----------
    table : array, shape (rows, columns)
        Loans, rows by estimate and columns by outcome, both rising.
    """
    counts = np.asarray(table, dtype=np.float64)
    total = float(counts.sum())
    by_row = counts.sum(axis=1)
    untied = total**2 - float(np.sum(by_row**2))
    if untied == 0:
        return GeneralisedAuc(int(total), None, None, "no two loans have different estimates")
    # Sums over the quadrants that begin beyond each cell.
    below = np.zeros((counts.shape[0] + 1, counts.shape[1] + 1))
    below[1:, 1:] = counts.cumsum(axis=0).cumsum(axis=1)
    rows, columns = below[:, -1:], below[-1:, :]
    lower_left = below[:-1, :-1]
    lower_right = rows[:-1] - below[:-1, 1:]
    upper_left = columns[:, :-1] - below[1:, :-1]
    upper_right = total - rows[1:] - columns[:, 1:] + below[1:, 1:]
    surplus = lower_left + upper_right - lower_right - upper_left
    difference = float(np.sum(counts * surplus))
    deviation = untied * surplus - difference * (total - by_row)[:, None]
    error = math.sqrt(float(np.sum(counts * deviation**2))) / untied**2
    return GeneralisedAuc(int(total), (difference / untied + 1) / 2, error)


@dataclass(frozen=True)
class AucChange:
    """How far the generalised AUC has fallen since development.

    Attributes
    ----------
    statistic : float
        S = (gAUC at development - gAUC now) / s.
    p_value : float
        1 - Phi(S): small where discrimination has fallen.
    """

    statistic: float
    p_value: float


def auc_change(at_development: float, now: GeneralisedAuc) -> AucChange | None:
    """Test of a fall of the generalised AUC (ECB 2019, section 2.6 and annex 3.2).

    Returns
    -------
    AucChange, optional
        None where `now` has no AUC, or no error to measure a change with.
    """
    if now.auc is None or not now.standard_error:
        return None
    statistic = (at_development - now.auc) / now.standard_error
    return AucChange(statistic, float(stats.norm.sf(statistic)))


@dataclass(frozen=True)
class LossCapture:
    """Loss captured by the order of the estimates, against that of the outcomes.

    Attributes
    ----------
    ratio : float, optional
        1: as good as knowing the outcomes; 0: no better than chance; below 0: worse.
    note : str, optional
        Why there is none.
    """

    ratio: float | None
    note: str | None = None


def loss_capture(estimated_lgd: Array, realised_lgd: Array, ead: Array) -> LossCapture:
    """Loss capture ratio by EAD: area of the captured-loss curve over that of the ideal curve.

    Li, Bhariok, Keenan & Santilli (2009), Validation techniques and performance metrics for loss
    given default models, J. Risk Model Validation 3(3). Loans stand by estimate, highest first;
    the curve is the share of all loss over the share of all EAD; areas are counted above the
    diagonal. Loans with equal estimates are one straight piece, so that their order is nothing.

    Parameters
    ----------
    estimated_lgd, realised_lgd : array, shape (loans,)
        Loss rates, fractions of EAD.
    ead : array, shape (loans,)
        Exposures, currency.
    """
    if len(ead) == 0 or float(np.sum(realised_lgd * ead)) <= 0:
        return LossCapture(None, "there is no loss to capture")
    ideal = _captured_area(realised_lgd, realised_lgd, ead)
    if ideal <= 1e-12:
        return LossCapture(None, "all loans lost the same rate")
    return LossCapture(_captured_area(estimated_lgd, realised_lgd, ead) / ideal)


def _captured_area(order: Array, realised: Array, ead: Array) -> float:
    values, place = np.unique(-order, return_inverse=True)
    exposure = np.bincount(place, weights=ead, minlength=len(values))
    loss = np.bincount(place, weights=realised * ead, minlength=len(values))
    share = np.cumsum(loss) / loss.sum()
    before = np.concatenate([[0.0], share[:-1]])
    return float(np.sum(exposure / exposure.sum() * (before + share) / 2)) - 0.5
