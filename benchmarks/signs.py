"""What it costs to hold the sign of an effect: fits with and without each direction."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.comparison import paired_gains
from training.dataset import TrainingSet
from training.evaluation import held_out
from training.fit import fit_recovery
from training.holdout import Holdout
from training.metrics import accuracy
from training.selection import choose
from training.settings import FitSettings

Array = NDArray[np.float64]


def without_direction(data: TrainingSet, names: Iterable[str]) -> TrainingSet:
    """The same loans, the named features left to the data."""
    free = frozenset(names)
    definitions = tuple(
        d.model_copy(update={"direction": 0}) if d.name in free else d
        for d in data.spec.definitions
    )
    return replace(data, spec=data.spec.model_copy(update={"definitions": definitions}))


def signs_section(splits: Mapping[str, Holdout]) -> str:
    """Text of the section, from out-of-time splits by name."""
    lines = [
        "## What holding a sign costs\n",
        "Each constraint let go alone, and all together, with the same settings: the change in RMSE"
        " on the held-out loans (a gain of the free fit is positive) with its paired bootstrap"
        " error. Sets without such a field are not listed: the SBA file has none.\n",
        "| set | let go | RMSE held | RMSE free | gain of the free fit | Spearman held | free |\n"
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, split in splits.items():
        held = tuple(split.train.spec.directions)
        if held:
            lines += _rows(name, split, held)
    return "\n".join([*lines, ""])


def _rows(name: str, split: Holdout, held: tuple[str, ...]) -> list[str]:
    settings = choose(split.train).settings
    judged, actual = held_out(split.test, split.horizon_months)
    constrained = _forecast(split, split.train, settings)
    own = accuracy(actual, constrained, judged.ead)
    together = [held] if len(held) > 1 else []
    rows = []
    for names in [*((one,) for one in held), *together]:
        free = _forecast(split, without_direction(split.train, names), settings)
        figures = accuracy(actual, free, judged.ead)
        gain = paired_gains(actual, constrained, free, judged.ead)["RMSE"]
        told = "all" if len(names) > 1 else f"`{names[0]}`"
        rows.append(
            f"| {name} | {told} | {own.rmse:.4f} | {figures.rmse:.4f} |"
            f" {gain.gain:+.4f} +- {gain.standard_error:.4f} | {own.spearman:.4f} |"
            f" {figures.spearman:.4f} |"
        )
    return rows


def _forecast(split: Holdout, train: TrainingSet, settings: FitSettings) -> Array:
    judged, _ = held_out(split.test, split.horizon_months)
    model = fit_recovery(train, settings)
    if split.horizon_months is None:
        return model.recovery_rate(judged.features)
    return model.recovery_rate_at(judged.features, split.horizon_months)
