"""Training of a night: the way of the champion on all that is known, and on what was known once."""

from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any, Final

from features.portfolio import Portfolio
from models.bundle import Bundle, Provenance
from models.recovery import RecoveryModel
from training.dataset import training_set
from training.evaluation import Judged, held_out
from training.examples import with_typical_examples
from training.fairness import fairness_rows
from training.fit import fit_recovery
from training.holdout import Holdout, hold_out
from training.metrics import accuracy
from training.selection import Choice, choose
from training.settings import PRESETS, FitSettings, TreeSettings
from training.train import Trained, accuracy_rows, data_hash, git_commit, versions
from training.tuned import Tuned
from training.uncertainty_fit import fit_uncertainty

_OURS: Final = "npl-recovery"
# Provenance of a model that drift made to weigh new vintages more: what it weighs them by else.
STANDING: Final = "standing_half_life_years"


def settings_of(provenance: Provenance) -> FitSettings:
    """Settings a bundle was fitted with, from what it says of them."""
    told = provenance.settings
    values = {field.name: told[field.name] for field in fields(FitSettings)}
    if values["trees"] not in PRESETS:
        values["trees"] = TreeSettings(**told["tree_settings"])
    if values["groups"] is not None:
        values["groups"] = tuple(values["groups"])
    return FitSettings(**values)


def night_settings_of(
    portfolio: Portfolio, champion: Bundle | None, tuned: Tuned | None
) -> FitSettings:
    """Settings to train with: tuned ones, else the champion's, else the best of the presets."""
    if tuned is not None:
        tuned.require_fit_for(portfolio.meta, hold_out(portfolio), "cut_off_date")
        return tuned.settings
    if champion is not None:
        way = settings_of(champion.provenance)
        standing = champion.provenance.settings.get(STANDING, way.half_life_years)
        return replace(way, half_life_years=standing)
    return choose(training_set(portfolio)).settings


def train_night(portfolio: Portfolio, settings: FitSettings, origin: dict[str, Any]) -> Trained:
    """Train with settings that stand, and judge that way out of time.

    Baselines are not fitted: they tell a person how good the model is, which one night does not
    change.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio from a store.
    settings : FitSettings
        Of both fits.
    origin : dict
        Further entries of the provenance: where the settings come from, the store's commit.

    Raises
    ------
    TrainingError
        When too little is known to train or to judge.
    """
    split = hold_out(portfolio)
    judged = _judged(split, settings)
    whole = training_set(portfolio)
    uncertainty, caveats = fit_uncertainty(whole, settings, "cut_off_date")
    loans, actual = held_out(split.test, split.horizon_months)
    bundle = Bundle(
        model=replace(fit_recovery(whole, settings), uncertainty=uncertainty),
        portfolio=portfolio.meta,
        provenance=Provenance(
            data_hash=data_hash(portfolio),
            git_commit=git_commit(),
            versions=versions(),
            known_on=portfolio.meta.observed_until_date.isoformat(),
            settings=settings.as_document()
            | {"evidence": [], "vintage_by": "cut_off_date"}
            | origin,
        ),
        accuracy=accuracy_rows(split, [judged]),
        caveats=caveats,
        fairness=fairness_rows(loans, judged.forecast, actual),
    )
    return Trained(with_typical_examples(bundle, portfolio), split, Choice(settings, []), [judged])


def _judged(split: Holdout, settings: FitSettings) -> Judged:
    model = fit_recovery(split.train, settings)
    loans, actual = held_out(split.test, split.horizon_months)
    forecast = (
        model.recovery_rate(loans.features)
        if split.horizon_months is None
        else model.recovery_rate_at(loans.features, split.horizon_months)
    )
    return Judged(_OURS, forecast, accuracy(actual, forecast, loans.ead))


def fit_as_of(portfolio: Portfolio, settings: FitSettings, eve: date) -> RecoveryModel:
    """Fit a way on what was known on a day.

    Parameters
    ----------
    portfolio : Portfolio
        As the store knew it on that day.
    settings : FitSettings
        The way.
    eve : date
        Cash counts until then, and vintages cut off by then.

    Raises
    ------
    TrainingError
        When too little was known.
    """
    data = training_set(portfolio, known_on=min(eve, portfolio.meta.observed_until_date))
    return fit_recovery(data.between(None, eve + timedelta(days=1)), settings)
