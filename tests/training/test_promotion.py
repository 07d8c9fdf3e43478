"""The gate: figures worked by hand, and every check that must refuse or hold."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.night_settings import GateSettings
from training.promotion import Shipment, Trial, judge, paired_gain

Array = NDArray[np.float64]
SHIPMENT = Shipment(parity=True, seconds=0.1, megabytes=1.0, coverage=0.85)
SETTINGS = GateSettings()
LOANS, VINTAGES = 4_000, 20


def trial(champion_error: float = 0.6, challenger_error: float = 0.1, seed: int = 1) -> Trial:
    """Loans whose expected rate is known; both forecast it with an error of their own."""
    rng = np.random.default_rng(seed)
    expected = rng.uniform(0.02, 0.3, LOANS)
    paid = rng.random(LOANS) < 0.4
    actual = np.where(paid, rng.gamma(4, expected / 0.4 / 4), 0.0)

    def forecast(error: float) -> Array:
        noise = rng.normal(0, 1, LOANS)
        return expected * np.exp(error * noise - error**2 / 2)

    champion, challenger = forecast(champion_error), forecast(challenger_error)
    return Trial(
        vintage=np.arange(LOANS) % VINTAGES,
        asset_class=np.array(["auto", "sme"])[np.arange(LOANS) % 2],
        ead=rng.uniform(0.5, 1.5, LOANS),
        actual=actual,
        champion=champion,
        challenger=challenger,
        champion_ultimate=champion,
        challenger_ultimate=challenger,
        shipped_ultimate=challenger,
    )


def failed(given: Trial, shipment: Shipment = SHIPMENT) -> list[str]:
    decision = judge(given, shipment, SETTINGS)
    names = [check.name for check in decision.checks if check.verdict == "fail"]
    assert decision.decision == ("refuse" if names else "promote")
    return names


def test_the_gain_is_that_worked_by_hand() -> None:
    # Two vintages of two loans; y, champion, challenger.
    rows = np.array([[0.2, 0.1, 0.2], [0.0, 0.1, 0.2], [0.4, 0.1, 0.2], [0.0, 0.2, 0.1]])
    given = replace(
        trial(),
        vintage=np.array([1, 1, 2, 2]),
        actual=rows[:, 0],
        champion=rows[:, 1],
        challenger=rows[:, 2],
    )
    # 2 (f_champion - f_challenger) - 2 y log(f_champion / f_challenger), loan by loan.
    each = [2 * -0.1 + 0.4 * np.log(2), -0.2, -0.2 + 0.8 * np.log(2), 0.2]
    gain = sum(each) / 4
    by_vintage = [each[0] + each[1] - 2 * gain, each[2] + each[3] - 2 * gain]
    error = np.sqrt(2 / 1 * (by_vintage[0] ** 2 + by_vintage[1] ** 2)) / 4
    found = paired_gain(given)
    assert found.gain == pytest.approx(gain)
    assert found.standard_error == pytest.approx(error)
    assert found.vintages == 2


def test_a_better_challenger_is_promoted() -> None:
    decision = judge(trial(), SHIPMENT, SETTINGS)
    assert (decision.decision, decision.reason) == ("promote", "every check passed")


def test_an_equal_or_worse_one_is_refused() -> None:
    assert "comparison" in failed(trial(0.1, 0.6))
    same = trial(0.2, 0.1)
    same = replace(same, challenger=same.champion, challenger_ultimate=same.champion)
    assert failed(replace(same, shipped_ultimate=same.champion)) == ["comparison"]


def test_equal_challengers_pass_no_more_often_than_the_level() -> None:
    settings = SETTINGS.model_copy(update={"level": 0.1})
    passed = 0
    for seed in range(300):
        given = trial(0.5, 0.5, seed)
        passed += judge(given, SHIPMENT, settings).checks[0].verdict == "pass"
    # 30 expected; 45 and more have a probability of 0.4%.
    assert 15 < passed < 45


def test_few_vintages_cannot_tell() -> None:
    given = trial()
    assert failed(replace(given, vintage=given.vintage % 7)) == ["comparison"]


def test_a_gain_shared_by_one_vintage_alone_is_no_gain() -> None:
    given = trial(0.3, 0.3)
    lucky = given.vintage == 3
    challenger = np.where(lucky, np.maximum(given.actual, 0.01), given.champion)
    better = replace(
        given,
        challenger=challenger,
        challenger_ultimate=given.champion,
        shipped_ultimate=given.champion,
    )
    assert paired_gain(better).relative > 0.03
    assert "comparison" in failed(better)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"parity": False}, "parity"),
        ({"seconds": 9.0}, "speed"),
        ({"megabytes": 900.0}, "size"),
        ({"coverage": 0.5}, "coverage"),
    ],
)
def test_a_shipment_that_is_not_sound_is_refused(change: dict[str, Any], check: str) -> None:
    assert failed(trial(), replace(SHIPMENT, **change)) == [check]


def test_money_far_off_is_refused_unless_the_champion_is_as_far_off() -> None:
    given = trial()
    high = replace(given, challenger=given.challenger * 1.6)
    assert "money" in failed(high)
    both = replace(high, champion=given.champion * 1.7)
    assert "money" not in failed(both)


def test_a_segment_that_loses_is_refused() -> None:
    given = trial()
    rng = np.random.default_rng(5)
    wrong = given.challenger * np.exp(rng.normal(0, 1.2, LOANS) - 0.72)
    small = np.arange(LOANS) % 16 == 1
    classes = np.where(small, "corporate", given.asset_class)
    worse = replace(given, asset_class=classes, challenger=np.where(small, wrong, given.challenger))
    assert failed(worse) == ["segments"]
    # The same loss in a segment of no weight is let pass.
    light = np.where(small, 0.3, given.ead)
    assert failed(replace(worse, ead=light)) == []


def test_flat_or_reversed_forecasts_are_refused() -> None:
    given = trial()
    flat = np.full(LOANS, given.actual.mean())
    assert "calibration" in failed(replace(given, challenger=flat))
    assert "calibration" in failed(replace(given, challenger=0.35 - given.challenger))


def test_a_model_that_the_latest_data_moved_is_refused() -> None:
    given = trial()
    rng = np.random.default_rng(6)
    shuffled = rng.permutation(given.shipped_ultimate)
    assert failed(replace(given, shipped_ultimate=shuffled)) == ["ranks", "latest data"]
    assert failed(replace(given, shipped_ultimate=given.shipped_ultimate / 10_000)) == [
        "latest data, money"
    ]


def test_what_was_not_judged_is_held_but_a_failure_refuses_all_the_same() -> None:
    held = replace(SHIPMENT, unjudged=("reads leaked, which the model judged did not",))
    decision = judge(trial(), held, SETTINGS)
    assert (decision.decision, decision.reason) == (
        "hold",
        "judged: reads leaked, which the model judged did not",
    )
    assert judge(trial(0.1, 0.6), held, SETTINGS).decision == "refuse"
