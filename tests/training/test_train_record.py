"""What a training keeps in its run, against figures worked out from the tables themselves."""

import io

import numpy as np
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import load_text

from features.portfolio import Portfolio
from models.mlflow_store import Store
from training import evaluation
from training import train as training
from training.evaluation import held_out
from training.selection import Choice
from training.settings import FitSettings
from training.tracking import tracked_run
from training.train_record import record_training

EVIDENCE = [{"trees": "deep", "linear_weight": 0.5, "r2": 0.25, "standard_errors": 1.0}]


def test_a_training_keeps_its_settings_figures_tables_and_card(
    store: Store, simulated: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    # These have tests of their own; here they would only cost time.
    monkeypatch.setattr(training, "choose", lambda data: Choice(FitSettings(), EVIDENCE))
    monkeypatch.setattr(training, "fit_uncertainty", lambda *given: (None, ()))
    for slow in ("random forest", "fractional logit", "age curve"):
        monkeypatch.delitem(evaluation.RIVALS, slow)
    with tracked_run("train", simulated, store=store) as run:
        trained = training.train(simulated)
        record_training(run, trained)
    client = MlflowClient(store.uri)
    kept = client.get_run(run.run_id)
    judged, actual = held_out(trained.holdout.test, trained.holdout.horizon_months)
    error = actual - trained.judged[0].forecast

    metrics = kept.data.metrics
    assert metrics["mae"] == pytest.approx(np.abs(error).mean())
    assert metrics["candidate_r2/trees deep linear_weight 0.5"] == 0.25
    assert "baseline_r2/LightGBM defaults" in metrics
    spec = trained.bundle.model.spec
    assert kept.data.tags["spec_hash"] == spec.hash
    assert kept.data.params["seed"] == str(FitSettings().seed)
    assert kept.data.params["link"] == trained.bundle.model.link

    # By quarter of the vintage, worked out loan by loan.
    quarters: dict[int, list[float]] = {}
    for day, miss in zip(judged.outcomes["vintage_date"], error, strict=True):
        quarters.setdefault(day.year * 100 + (day.month - 1) // 3 * 3 + 1, []).append(abs(miss))
    by_hand = {q: np.mean(misses) for q, misses in sorted(quarters.items()) if len(misses) >= 30}
    points = client.get_metric_history(run.run_id, "vintage_mae")
    assert {p.step: p.value for p in points} == pytest.approx(by_hand)

    def artifact(name: str) -> str:
        text: str = load_text(f"{kept.info.artifact_uri}/{name}")
        return text

    tenths = pl.read_csv(io.StringIO(artifact("by_tenth.csv")))
    assert tenths["loans"].sum() == len(actual)
    assert tenths["forecast_rate"].is_sorted()
    mean = (tenths["loans"] * tenths["actual_rate"]).sum() / len(actual)
    assert mean == pytest.approx(actual.mean())
    assert artifact("by_tenth.svg").startswith("<?xml")
    assert trained.bundle.version in artifact("model-card.md")
    note = kept.data.tags["mlflow.note.content"]
    assert f"RMSE **{np.sqrt((error**2).mean()):.4f}**" in note
    assert note.count("\n| ") == len(trained.judged) + 1
