"""What a training run keeps: settings, figures by model and vintage, tables, pictures, the card."""

import io
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from features.exposure import EAD
from models.card import model_card
from training.dataset import TrainingSet
from training.evaluation import held_out
from training.metrics import accuracy
from training.tracking import TrackedRun
from training.train import Trained

Array = NDArray[np.float64]
# Figures shown for every baseline; the model's own are all shown.
_COMPARED: Final = ("r2", "mae", "rmse", "deviation")
# Figures of a candidate in `training.selection.Choice`; the rest are its settings.
_EVIDENCE: Final = ("r2", "standard_errors")
_TENTHS: Final = 10
# A thinner vintage says more about its few loans than about the model.
_LEAST_LOANS: Final = 30


def record_training(run: TrackedRun, trained: Trained) -> None:
    """Write a training down in its run.

    Metrics: those of the model by name; `baseline_r2/<name>` and so on for what it is compared
    with; `vintage_r2`, `vintage_mae`, `vintage_deviation` by held-out quarter, the step 202404
    being April to June 2024; `candidate_r2/<settings>` over the folds that chose the settings.
    """
    bundle, split = trained.bundle, trained.holdout
    judged, actual = held_out(split.test, split.horizon_months)
    forecast = trained.judged[0].forecast
    run.features(bundle.model.spec)
    run.tags({"bundle_version": bundle.version})
    settings = {k: v for k, v in bundle.provenance.settings.items() if k != "evidence"}
    run.parameters(
        settings
        | {
            "link": bundle.model.link,
            "held_out_from": split.start,
            "judged_at_months": split.horizon_months or "ultimate",
            "train_loans": split.train.outcomes.height,
            "features": len(bundle.model.spec.names),
        }
    )
    ours, *baselines = bundle.accuracy
    run.metrics({name: ours[name] for name in ("loans", *_COMPARED, "spearman")})
    for row in baselines:
        # MLflow allows no comma in a name.
        name = row["model"].replace(",", "")
        run.metrics({f"baseline_{figure}/{name}": row[figure] for figure in _COMPARED})
    vintages = _by_vintage(judged, forecast, actual)
    for row in vintages:
        run.metrics({f"vintage_{f}": row[f] for f in ("r2", "mae", "deviation")}, row["vintage"])
    _candidates(run, bundle.provenance.settings["evidence"])
    tenths = _tenths(forecast, actual)
    run.table("accuracy", pl.DataFrame(bundle.accuracy))
    run.table("by_vintage", pl.DataFrame(vintages))
    run.table("by_tenth", tenths)
    run.text("by_tenth.svg", _picture(tenths))
    if bundle.fairness:
        run.table("fairness", pl.DataFrame(bundle.fairness))
    run.text("model-card.md", model_card(bundle))
    run.describe(_description(trained))


def _candidates(run: TrackedRun, evidence: list[dict[str, Any]]) -> None:
    if not evidence:
        return
    run.table("candidates", pl.DataFrame(evidence))
    for row in evidence:
        settings = " ".join(f"{k} {v}" for k, v in row.items() if k not in _EVIDENCE)
        run.metrics({f"candidate_r2/{settings}": row["r2"]})


def _by_vintage(judged: TrainingSet, forecast: Array, actual: Array) -> list[dict[str, Any]]:
    first = judged.outcomes["vintage_date"].dt.truncate("1q")
    quarter = (first.dt.year().cast(pl.Int64) * 100 + first.dt.month()).to_numpy()
    ead = judged.outcomes[EAD].to_numpy()
    rows = []
    for vintage in np.unique(quarter):
        of = quarter == vintage
        if of.sum() < _LEAST_LOANS:
            continue
        figures = accuracy(actual[of], forecast[of], ead[of]).as_row()
        known = {name: None if value != value else value for name, value in figures.items()}
        rows.append({"vintage": int(vintage)} | known)
    return rows


def _tenths(forecast: Array, actual: Array) -> pl.DataFrame:
    """Mean forecast and realised rate of held-out loans, by tenths of the forecast."""
    order = np.argsort(forecast, kind="stable")
    parts = [part for part in np.array_split(order, _TENTHS) if len(part)]
    return pl.DataFrame(
        {
            "tenth": range(1, len(parts) + 1),
            "loans": [len(part) for part in parts],
            "forecast_rate": [float(forecast[part].mean()) for part in parts],
            "actual_rate": [float(actual[part].mean()) for part in parts],
        }
    )


def _picture(tenths: pl.DataFrame) -> str:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    places = tenths["tenth"].to_numpy()
    axes.bar(
        places - 0.2, tenths["forecast_rate"].to_numpy(), 0.4, label="forecast", color="#8aa9c4"
    )
    axes.bar(places + 0.2, tenths["actual_rate"].to_numpy(), 0.4, label="actual", color="#1f3b57")
    axes.set_xticks(places)
    axes.set_xlabel("held-out loans, by tenths of the forecast")
    axes.set_ylabel("mean net recovery rate")
    axes.legend(frameon=False)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _description(trained: Trained) -> str:
    bundle, split = trained.bundle, trained.holdout
    at = (
        "ultimate rate" if split.horizon_months is None else f"rate by month {split.horizon_months}"
    )
    ours, *baselines = bundle.accuracy
    compared = ""
    # A night's training is not held against baselines.
    if baselines:
        best = min(baselines, key=lambda row: float(row["rmse"]))
        compared = f", best baseline {best['rmse']:.4f} ({best['model']})"
    lines = [
        # MLflow's page folds all but the first lines away.
        f"RMSE **{ours['rmse']:.4f}**{compared};"
        f" R2 {_figure(ours['r2'], '.4f')}; deviation {_figure(ours['deviation'], '+.2%')}."
        f" Out of time: {ours['loans']:,} loans of vintages from {split.start}, {at}, net of costs."
        f" Bundle `{bundle.version}`, data known to {bundle.provenance.known_on}.",
        "",
        "| model | loans | R2 | MAE | RMSE | Spearman | deviation |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in bundle.accuracy:
        figures = [_figure(row[name], ".4f") for name in ("r2", "mae", "rmse", "spearman")]
        figures.append(_figure(row["deviation"], "+.2%"))
        lines.append(f"| {row['model']} | {row['loans']:,} | {' | '.join(figures)} |")
    lines += ["", "Deviation: (actual - forecast) / forecast cash, by EAD.", ""]
    return "\n".join([*lines, *(f"- {note}" for note in bundle.notes)])


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
