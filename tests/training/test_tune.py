"""Tuning from end to end: what it keeps, what it measures, what it never sees."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.portfolio import read_portfolio, write_portfolio
from features.sources.simulated import simulate
from training import search_space, settings
from training import tune as tuning
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.holdout import hold_out
from training.search import Budget
from training.search_space import Range
from training.trial_loss import LossGain, forecast_block, forecast_fold, total_loss
from training.tune import Searched, code_hash, kept, nest, tune, tune_on
from training.tuned import Tuned, read_tuned, write_tuned

MakeSet = Callable[..., TrainingSet]


@pytest.fixture(autouse=True, scope="module")
def _quick_fits() -> Iterator[None]:
    """A tenth of the rounds at ten times the rate, presets and search space alike."""
    with pytest.MonkeyPatch.context() as patch:
        for preset, tree in settings.PRESETS.items():
            quick = replace(tree, rounds=10, learning_rate=0.3, bags=1)
            patch.setitem(settings.PRESETS, preset, quick)
        numbers = dict(search_space._NUMBERS) | {"rounds": Range(4, 25), "bags": Range(1, 2)}
        patch.setattr(search_space, "_NUMBERS", numbers)
        yield


def wavy(set_of: MakeSet, noise: float, loans: int = 1_500) -> TrainingSet:
    """Rates that only deep and eager trees follow, or noise alone."""
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, loans)
    wave = 0.0 if noise > 0.2 else 0.3
    rate = np.clip(0.5 + wave * np.sin(18 * x) + rng.normal(0, noise, loans), 0, 1)
    return set_of({"x": x, "y": rng.normal(size=loans)}, rate, days=np.arange(loans) * 2)


@pytest.fixture(scope="module")
def of_noise(set_of: MakeSet, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A search where there is nothing to be found."""
    journal = tmp_path_factory.mktemp("noise") / "j"
    return tune_on(wavy(set_of, 0.4, 800), str(journal), Budget(14), {})


def test_a_gain_beyond_noise_is_kept(set_of: MakeSet, tmp_path: Path) -> None:
    data = wavy(set_of, 0.05)
    found = tune_on(data, str(tmp_path / "j"), Budget(25), {})
    assert kept(found) == "tuned"
    assert found.best != found.untuned
    assert found.best_loss <= found.honest_loss < found.untuned_loss
    # The untuned ones are those of `npl train`, judged on the same folds.
    standing = [forecast_fold(found.folds, n, found.untuned) for n in range(len(found.folds))]
    assert found.untuned_loss == total_loss([forecast.loss for forecast in standing])


def test_noise_keeps_the_untuned_settings(of_noise: Searched) -> None:
    assert kept(of_noise) == "untuned"
    # The best of fourteen looks better than it is.
    assert of_noise.best_loss < of_noise.untuned_loss
    assert of_noise.honest_loss > of_noise.best_loss


def test_the_honest_loss_takes_the_best_of_the_other_folds(of_noise: Searched) -> None:
    complete = [trial for trial in of_noise.trials if trial.loss is not None]
    losses = []
    for place in range(len(of_noise.folds)):
        others = [[f for n, f in enumerate(t.folds) if n != place] for t in complete]
        chosen = complete[int(np.argmin([total_loss(folds) for folds in others]))]
        losses.append(chosen.folds[place])
    assert of_noise.honest_loss == pytest.approx(total_loss(losses), abs=1e-12)
    assert of_noise.gain.gain == pytest.approx(
        of_noise.untuned_loss - of_noise.honest_loss, abs=1e-12
    )


def test_nested_blocks_are_never_seen_by_their_search(set_of: MakeSet, tmp_path: Path) -> None:
    data = wavy(set_of, 0.1, 800)
    found = tune_on(data, str(tmp_path / "j"), Budget(4), {})
    nested = nest(found.folds, 2, str(tmp_path / "j"), Budget(4), {})
    assert len(nested.folds) == 2
    # The same search on the earlier vintages alone, in a study of its own.
    earlier, block = found.folds.folds[-1]
    alone = tune_on(earlier, str(tmp_path / "alone"), Budget(4), {})
    fold = nested.folds[-1]
    assert fold.inner_loss == alone.best_loss
    outer = forecast_block(earlier, block, None, alone.best)
    assert fold.outer_loss == total_loss([outer.loss])
    assert fold.optimism == fold.outer_loss - fold.inner_loss
    # A search that came out worse on later vintages vetoes the best trial, whatever its gain.
    clear = replace(found, gain=LossGain(1.0, 0.1, 9))
    assert kept(clear, nested.model_copy(update={"gain": -0.001})) == "untuned"
    assert kept(clear, nested.model_copy(update={"gain": 0.0})) == "tuned"
    standing = forecast_block(earlier, block, None, alone.untuned)
    assert fold.untuned_outer_loss == total_loss([standing.loss])
    spared = [fold.optimism - fold.drift for fold in nested.folds]
    assert nested.optimism == pytest.approx(float(np.mean(spared)))
    with pytest.raises(TrainingError, match="1 to 4"):
        nest(found.folds, 5, str(tmp_path / "j"), Budget(4), {})


def test_too_small_a_budget_is_refused(set_of: MakeSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 trials do not even try the 4"):
        tune_on(wavy(set_of, 0.1), str(tmp_path / "j"), Budget(3), {})
    with pytest.raises(TrainingError, match="give the same command again"):
        tune_on(wavy(set_of, 0.1), str(tmp_path / "j"), Budget(minutes=1e-6), {})


def test_held_out_vintages_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(tmp_path / "p", 1_200, 5)
    portfolio = read_portfolio(tmp_path / "p")
    split = hold_out(portfolio)
    # All that the held-out loans ever brought is tripled, and no trial may notice.
    late = split.test.features["loan_id"].implode()
    more = pl.when(pl.col("loan_id").is_in(late)).then(pl.col("gross_amount") * 3)
    ledger = portfolio.ledger.with_columns(gross_amount=more.otherwise("gross_amount"))
    write_portfolio(tmp_path / "q", portfolio.meta, portfolio.tape, ledger)
    other = read_portfolio(tmp_path / "q")
    assert not hold_out(other).test.outcomes.equals(split.test.outcomes)
    found = [
        tune(one, str(tmp_path / name), Budget(4))
        for one, name in ((portfolio, "j1"), (other, "j2"))
    ]
    plain = [
        [(t.number, t.state, t.loss, t.settings, t.folds) for t in one.trials] for one in found
    ]
    assert plain[0] == plain[1]
    assert found[0].settings == found[1].settings
    assert found[0].data_hash != found[1].data_hash
    with pytest.raises(TrainingError, match="another data_hash"):
        tune(other, str(tmp_path / "j1"), Budget(4))
    monkeypatch.setattr(tuning, "code_hash", lambda: "other")
    with pytest.raises(TrainingError, match="another code_hash"):
        tune(portfolio, str(tmp_path / "j1"), Budget(4))
    _survives_its_file(found[0], tmp_path)


def _survives_its_file(tuned: Tuned, folder: Path) -> None:
    write_tuned(folder / "tuned.json", tuned)
    assert read_tuned(folder / "tuned.json") == tuned


def test_the_code_hash_is_of_all_that_shapes_a_loss() -> None:
    assert code_hash() == code_hash()
    assert len(code_hash()) == 64
