"""The gate: whether a challenger may take the champion's place.

Both are judged on the cash of months that neither has seen (SR 11-7, outcomes analysis in
parallel), loan by loan and clustered by vintage. A better forecast is needed, and nothing else may
be worse than stated. What cannot be judged is held for a person to decide.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import xlogy

from training.night_settings import GateSettings
from training.validation.deviation import deviation_test
from training.validation.thin import LEAST_LOANS

Array = NDArray[np.float64]
Decision = Literal["promote", "refuse", "hold"]
_FIFTHS: Final = 5
# Least rate of a forecast in the trial that the comparison tells from none.
_LEAST_RATE: Final = 1e-6
# Chance by which a deviation of cash is excused.
_MONEY_CHANCE: Final = 0.05


@dataclass(frozen=True)
class Trial:
    """Forecasts of the trial's cash beside what came, loan by loan.

    Attributes
    ----------
    vintage, asset_class : array, shape (loans,)
        Cluster and segment.
    ead : array, shape (loans,)
        Exposure, currency.
    actual, champion, challenger : array, shape (loans,)
        Net cash in the trial and its forecasts, fractions of EAD. The challenger is trained its
        way on what was known on the eve of the trial.
    champion_ultimate, challenger_ultimate, shipped_ultimate : array, shape (loans,)
        Ultimate rates; `shipped` is of the model that would be put into service, which has seen
        the trial.
    """

    vintage: NDArray[Any]
    asset_class: NDArray[Any]
    ead: Array
    actual: Array
    champion: Array
    challenger: Array
    champion_ultimate: Array
    challenger_ultimate: Array
    shipped_ultimate: Array


@dataclass(frozen=True)
class Shipment:
    """What is known of the bundle that would be put into service.

    Attributes
    ----------
    parity : bool
        Whether what is read back from disk forecasts the same to the last bit, one by one too.
    seconds : float
        Processor time to score 1,000 loans.
    megabytes : float
        Of the bundle.
    coverage : float, optional
        Share of outcomes matured in the trial within their P10 to P90; None where unknown.
    unjudged : tuple of str
        Why a person must look at it: what the trial could not see.
    """

    parity: bool
    seconds: float
    megabytes: float
    coverage: float | None
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes
    ----------
    name : str
        What was looked at.
    verdict : {"pass", "fail", "hold"}
        A failed check refuses; one that holds leaves the decision to a person.
    told : str
        The figure beside its limit.
    """

    name: str
    verdict: Literal["pass", "fail", "hold"]
    told: str


@dataclass(frozen=True)
class GateDecision:
    """The decision and every check behind it."""

    decision: Decision
    checks: tuple[Check, ...]
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Checks that decided, in one line."""
        wanted = {"refuse": "fail", "hold": "hold"}.get(self.decision)
        told = [f"{c.name}: {c.told}" for c in self.checks if c.verdict == wanted]
        return "; ".join(told) or "every check passed"

    def as_document(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "decision": self.decision,
            "reason": self.reason,
            "checks": [asdict(check) for check in self.checks],
            "figures": self.figures,
        }


@dataclass(frozen=True)
class PairedGain:
    """Gain in Poisson deviance of the challenger over the champion.

    Attributes
    ----------
    gain : float
        Mean difference of deviances, champion less challenger; above 0: the challenger is better.
    relative : float
        The gain over the champion's mean deviance.
    standard_error : float
        Of `gain`, clustered by vintage (Liang & Zeger 1986).
    p_value : float
        One-sided, of no gain; 1 where there is no difference at all.
    vintages : int
        Clusters.
    """

    gain: float
    relative: float
    standard_error: float
    p_value: float
    vintages: int


def paired_gain(trial: Trial, keep: NDArray[np.bool_] | None = None) -> PairedGain:
    """Compare the two on the same loans, so that what makes a loan hard cancels.

    The loss is the Poisson deviance, 2 (y log(y / f) - y + f): like the squared error it is least
    in the mean at the true expectation (Gneiting 2011, JASA 106), and unlike it, it is not ruled by
    the few loans that pay much in a month.
    """
    of = np.ones(len(trial.actual), dtype=bool) if keep is None else keep
    before = _deviance(trial.actual[of], trial.champion[of])
    difference = before - _deviance(trial.actual[of], trial.challenger[of])
    names, place = np.unique(trial.vintage[of], return_inverse=True)
    gain, count = float(difference.mean()), len(names)
    sums = np.bincount(place, difference - gain)
    scale = count / (count - 1) if count > 1 else np.inf
    error = float(np.sqrt(scale * np.sum(sums**2))) / len(difference) if count > 1 else np.inf
    p_value = float(stats.t.sf(gain / error, count - 1)) if 0 < error < np.inf else 1.0
    loss = float(before.mean())
    return PairedGain(gain, gain / loss if loss > 0 else 0.0, error, p_value, count)


def _deviance(actual: Array, forecast: Array) -> Array:
    # A cost is no cash; and no forecast of cash is so sure of none that its loss were infinite.
    paid, due = np.maximum(actual, 0.0), np.maximum(forecast, _LEAST_RATE)
    return np.asarray(2 * (xlogy(paid, paid / due) - paid + due))


def judge(trial: Trial, shipment: Shipment, settings: GateSettings) -> GateDecision:
    """Decide on a challenger.

    Parameters
    ----------
    trial : Trial
        Forecasts beside what came.
    shipment : Shipment
        The bundle.
    settings : GateSettings
        Limits.
    """
    paired = paired_gain(trial)
    checks = (
        _comparison(paired, settings),
        _money(trial, settings),
        _calibration(trial, settings),
        _coverage(shipment, settings),
        _segments(trial, settings),
        *_ranks(trial, settings),
        _shift(trial, settings),
        # A clock tells otherwise every time: the same night told twice must read the same.
        Check(
            "speed",
            "pass" if shipment.seconds <= settings.seconds else "fail",
            f"1,000 loans scored within {settings.seconds:g} s or not",
        ),
        Check(
            "size",
            "pass" if shipment.megabytes <= settings.megabytes else "fail",
            f"{shipment.megabytes:.2f} MB, allowed {settings.megabytes:g}",
        ),
        Check(
            "parity",
            "pass" if shipment.parity else "fail",
            "the bundle read back forecasts the same, one loan as among many"
            if shipment.parity
            else "the bundle read back forecasts otherwise",
        ),
        *(Check("judged", "hold", why) for why in shipment.unjudged),
    )
    verdicts = {check.verdict for check in checks}
    decision: Decision = (
        "refuse" if "fail" in verdicts else "hold" if "hold" in verdicts else "promote"
    )
    figures = {
        "gain_relative": paired.relative,
        "gain_p_value": paired.p_value,
        "champion_deviation": _deviation(trial, trial.champion),
        "challenger_deviation": _deviation(trial, trial.challenger),
    }
    return GateDecision(decision, checks, figures)


def _comparison(paired: PairedGain, settings: GateSettings) -> Check:
    if paired.vintages < settings.least_vintages:
        told = f"{paired.vintages} vintages cannot tell, {settings.least_vintages} are needed"
        return Check("comparison", "fail", told)
    better = paired.p_value < settings.level
    told = (
        f"deviance {-paired.relative:+.2%} against the champion, p {paired.p_value:.4f}"
        f" over {paired.vintages} vintages, level {settings.level}"
    )
    return Check("comparison", "pass" if better else "fail", told)


def _deviation(trial: Trial, forecast: Array) -> float:
    total = float(np.sum(forecast * trial.ead))
    return float(np.sum(trial.actual * trial.ead)) / total - 1 if total > 0 else float("inf")


def _money(trial: Trial, settings: GateSettings) -> Check:
    own, other = _deviation(trial, trial.challenger), _deviation(trial, trial.champion)
    allowed = max(settings.money_rate, abs(other)) if np.isfinite(other) else settings.money_rate
    test = deviation_test(
        trial.actual * trial.ead, trial.challenger * trial.ead, clusters=trial.vintage
    )
    p_value = 1.0 if test is None else test.p_value
    told = (
        f"cash deviates {own:+.1%} (p {p_value:.3f}), the champion's {other:+.1%}, allowed"
        f" {allowed:.1%}"
    )
    off = abs(own) > allowed and p_value < _MONEY_CHANCE
    return Check("money", "fail" if off or not np.isfinite(own) else "pass", told)


def _calibration(trial: Trial, settings: GateSettings) -> Check:
    order = np.argsort(trial.challenger, kind="stable")
    fifths = np.array_split(order, _FIFTHS)
    forecast = np.array([trial.challenger[part].mean() for part in fifths])
    actual = np.array([trial.actual[part].mean() for part in fifths])
    spread = float(np.sum((forecast - forecast.mean()) ** 2))
    if spread == 0:
        return Check("calibration", "fail", "every loan is forecast alike")
    slope = float(np.sum((forecast - forecast.mean()) * (actual - actual.mean()))) / spread
    low, high = settings.calibration
    told = f"slope {slope:.2f} of realised on forecast cash by fifths, allowed {low} to {high}"
    return Check("calibration", "pass" if low <= slope <= high else "fail", told)


def _coverage(shipment: Shipment, settings: GateSettings) -> Check:
    if shipment.coverage is None:
        return Check("coverage", "pass", "the model tells no intervals, or none matured")
    told = f"{shipment.coverage:.1%} within P10 to P90, {settings.coverage_rate:.0%} needed"
    good = shipment.coverage >= settings.coverage_rate
    return Check("coverage", "pass" if good else "fail", told)


def _segments(trial: Trial, settings: GateSettings) -> Check:
    worse, looked = [], 0
    for name in np.unique(trial.asset_class):
        of = trial.asset_class == name
        share = float(trial.ead[of].sum() / trial.ead.sum())
        if share < settings.segment_share or of.sum() < LEAST_LOANS:
            continue
        looked += 1
        paired = paired_gain(trial, of)
        if paired.relative < -settings.segment_worse_rate and paired.gain < -paired.standard_error:
            worse.append(f"{name} {-paired.relative:+.1%}")
    if worse:
        told = f"deviance of {', '.join(worse)}, allowed {settings.segment_worse_rate:+.0%}"
        return Check("segments", "fail", told)
    return Check("segments", "pass", f"none of {looked} is worse than allowed")


def _ranks(trial: Trial, settings: GateSettings) -> tuple[Check, Check]:
    def check(name: str, other: Array, least: float, whose: str) -> Check:
        rank = float(stats.spearmanr(trial.shipped_ultimate, other).statistic)
        told = f"rank correlation {rank:.3f} with {whose}, {least} needed"
        return Check(name, "pass" if rank >= least else "fail", told)

    return (
        check("ranks", trial.champion_ultimate, settings.rank_champion, "the champion"),
        check("latest data", trial.challenger_ultimate, settings.rank_judged, "the model judged"),
    )


def _shift(trial: Trial, settings: GateSettings) -> Check:
    judged = float(np.sum(trial.challenger_ultimate * trial.ead))
    shift = float(np.sum(trial.shipped_ultimate * trial.ead)) / judged - 1 if judged > 0 else np.inf
    told = (
        f"total forecast {shift:+.1%} against the model judged, allowed {settings.shift_rate:.0%}"
    )
    return Check(
        "latest data, money", "pass" if abs(shift) <= settings.shift_rate else "fail", told
    )
