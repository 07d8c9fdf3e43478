"""The choice of settings: the default without evidence, another with it, never by hindsight."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from training import selection, settings
from training.dataset import TrainingSet
from training.selection import choose
from training.settings import CANDIDATES

MakeSet = Callable[..., TrainingSet]


@pytest.fixture(autouse=True)
def _quick_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the rounds at three times the rate: what is chosen matters here, not how well."""
    for preset, tree in settings.PRESETS.items():
        quick = replace(tree, rounds=tree.rounds // 3, learning_rate=tree.learning_rate * 3, bags=1)
        monkeypatch.setitem(settings.PRESETS, preset, quick)


@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_keeps_the_default(set_of: MakeSet, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = set_of({f"x{n}": rng.normal(size=700) for n in range(4)}, rng.beta(0.4, 0.8, 700))
    found = choose(data)
    assert found.settings == CANDIDATES[0]
    # Nothing can be learnt, so nothing beats the mean by more than luck.
    assert all(float(str(row["r2"])) < 0.02 for row in found.evidence)


def test_noise_in_dated_cash_keeps_the_default(set_of: MakeSet) -> None:
    rng = np.random.default_rng(5)
    data = set_of(
        {f"x{n}": rng.normal(size=700) for n in range(4)},
        rng.beta(0.4, 0.8, 700),
        timing="monthly",
        limit=60,
    )
    assert choose(data).settings == CANDIDATES[0]


def test_a_strongly_nonlinear_truth_asks_for_deep_trees(set_of: MakeSet) -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 2_500)
    rate = np.clip(0.5 + 0.4 * np.sin(12 * x) + rng.normal(0, 0.05, 2_500), 0, 1)
    found = choose(set_of({"x": x, "noise": rng.normal(size=2_500)}, rate))
    assert found.settings.trees == "deep"
    by_settings = {(row["trees"], row["linear_weight"]): row for row in found.evidence}
    assert by_settings["deep", 0.0]["r2"] > 0.5
    assert by_settings["shallow", 0.5]["standard_errors"] == 0.0


def test_folds_never_look_ahead(set_of: MakeSet) -> None:
    rng = np.random.default_rng(4)
    days = rng.integers(0, 40, 900) * 30
    data = set_of({"x": rng.normal(size=900)}, rng.random(900), days=days)
    folds = selection._folds(data)
    assert len(folds) == 3
    for train, test in folds:
        newest, oldest = train.outcomes["vintage_date"].max(), test.outcomes["vintage_date"].min()
        assert newest < oldest  # type: ignore[operator]
    judged = [set(test.features["loan_id"]) for _, test in folds]
    assert not judged[0] & judged[1] | judged[1] & judged[2]
    assert folds[-1][1].outcomes["vintage_date"].max() == data.outcomes["vintage_date"].max()


def test_vintages_too_thin_to_fold_leave_the_default(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(120.0)}, np.linspace(0, 1, 120))
    found = choose(data)
    assert (found.settings, found.evidence) == (CANDIDATES[0], [])
