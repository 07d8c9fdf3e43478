"""Training of a night: the way of the champion on all that is known, and on what was known once."""

from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Final

from features.portfolio import Portfolio
from models.bundle import Bundle, Provenance
from models.recovery import RecoveryModel
from training.dataset import training_set
from training.errors import NoCashError
from training.evaluation import Judged, held_out
from training.examples import with_typical_examples
from training.fairness import fairness_rows
from training.fit import fit_recovery
from training.holdout import Holdout, hold_out
from training.metrics import accuracy
from training.recent_level import levelled
from training.selection import Choice, choose
from training.settings import PRESETS, FitSettings, TreeSettings
from training.train import Trained, accuracy_rows, data_hash, git_commit, versions
from training.tuned import Tuned
from training.uncertainty_fit import fit_uncertainty

_OURS: Final = "npl-recovery"
_DRAWN: Final = "drawn_months"
_SHIFT: Final = "drawn_shift"


@dataclass(frozen=True)
class Way:
    """How a night trains: the same way for the model judged and for the model shipped.

    Attributes
    ----------
    settings : FitSettings
        Of the fit.
    drawn_months : int, optional
        Latest booked months that the fit is then drawn level with (`training.recent_level`); None
        leaves it as fitted.
    """

    settings: FitSettings
    drawn_months: int | None

    def as_document(self) -> dict[str, Any]:
        """The way as plain values, for the provenance; `way_of` reads it."""
        return self.settings.as_document() | {_DRAWN: self.drawn_months}


def way_of(provenance: Provenance) -> Way:
    """How a bundle was trained, from what it says of itself."""
    told = provenance.settings
    values = {field.name: told[field.name] for field in fields(FitSettings)}
    if values["trees"] not in PRESETS:
        values["trees"] = TreeSettings(**told["tree_settings"])
    if values["groups"] is not None:
        values["groups"] = tuple(values["groups"])
    return Way(FitSettings(**values), told.get(_DRAWN))


def as_fitted(bundle: Bundle) -> RecoveryModel:
    """The model of a bundle before it was drawn level."""
    shift = bundle.provenance.settings[_SHIFT]
    return replace(bundle.model, level=bundle.model.level - (shift or 0.0))


def lacks_level(bundle: Bundle) -> bool:
    """Whether a bundle was to be drawn level, and no cash came to draw it from."""
    told = bundle.provenance.settings
    return told.get(_DRAWN) is not None and told[_SHIFT] is None


def way_tonight(
    portfolio: Portfolio, champion: Bundle | None, tuned: Tuned | None, drawn_months: int | None
) -> Way:
    """Way to train by: as told tonight, else the champion's.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    champion : Bundle, optional
        None chooses the best of the presets.
    tuned : Tuned, optional
        Settings of a search.
    drawn_months : int, optional
        Months to be drawn level with where cash drifted. None draws where the champion was: its fit
        has not caught up, or there is no difference.

    Raises
    ------
    TrainingError
        When the search belongs to another portfolio.
    """
    standing = None if champion is None else way_of(champion.provenance)
    drawn = drawn_months
    if drawn is None and standing is not None:
        drawn = standing.drawn_months
    if tuned is not None:
        tuned.require_fit_for(portfolio.meta, hold_out(portfolio), "cut_off_date")
        return Way(tuned.settings, drawn)
    if standing is not None:
        return Way(standing.settings, drawn)
    return Way(choose(training_set(portfolio)).settings, drawn)


def train_night(portfolio: Portfolio, way: Way, origin: dict[str, Any], most_loans: int) -> Trained:
    """Train with settings that stand, and judge those out of time.

    Where no cash came to draw a level from, the model is as fitted, which the gate holds. Baselines
    are not fitted: they tell a person how good the model is, which one night does not change.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio from a store.
    way : Way
        How to train.
    origin : dict
        Further entries of the provenance: where the settings come from, the store's commit.
    most_loans : int
        Loans that the level is drawn from, at most.

    Raises
    ------
    TrainingError
        When too little is known to train or to judge.
    """
    settings = way.settings
    split = hold_out(portfolio)
    judged = _judged(split, settings)
    whole = training_set(portfolio)
    uncertainty, caveats = fit_uncertainty(whole, settings, "cut_off_date")
    loans, actual = held_out(split.test, split.horizon_months)
    fitted = fit_recovery(whole, settings)
    model = _drawn(fitted, portfolio, way, most_loans)
    shift = None if model is None else model.level - fitted.level
    bundle = Bundle(
        model=replace(model or fitted, uncertainty=uncertainty),
        portfolio=portfolio.meta,
        provenance=Provenance(
            data_hash=data_hash(portfolio),
            git_commit=git_commit(),
            versions=versions(),
            known_on=portfolio.meta.observed_until_date.isoformat(),
            settings=way.as_document()
            | {"evidence": [], "vintage_by": "cut_off_date"}
            | {_SHIFT: shift}
            | origin,
        ),
        accuracy=accuracy_rows(split, [judged]),
        caveats=(*caveats, *_level_caveat(way, shift)),
        fairness=fairness_rows(loans, judged.forecast, actual),
    )
    return Trained(with_typical_examples(bundle, portfolio), split, Choice(settings, []), [judged])


def _level_caveat(way: Way, shift: float | None) -> tuple[str, ...]:
    if way.drawn_months is None:
        return ()
    if shift is None:
        return (
            f"The latest {way.drawn_months} booked months brought no cash to draw the level from:"
            " it is as fitted.",
        )
    return (
        f"The level is drawn from the cash of the latest {way.drawn_months} booked months, since"
        " cash drifted from this model's forecasts or from those of a champion before it; the"
        " spread of the intervals is that of the fit before it.",
    )


def _judged(split: Holdout, settings: FitSettings) -> Judged:
    model = fit_recovery(split.train, settings)
    loans, actual = held_out(split.test, split.horizon_months)
    forecast = (
        model.recovery_rate(loans.features)
        if split.horizon_months is None
        else model.recovery_rate_at(loans.features, split.horizon_months)
    )
    return Judged(_OURS, forecast, accuracy(actual, forecast, loans.ead))


def fit_as_of(portfolio: Portfolio, way: Way, eve: date, most_loans: int) -> RecoveryModel:
    """Train a way on what was known on a day; as fitted where no cash came to draw it level.

    Parameters
    ----------
    portfolio : Portfolio
        As the store knew it on that day.
    way : Way
        How to train.
    eve : date
        Cash counts until then, and vintages cut off by then.
    most_loans : int
        Loans that the level is drawn from, at most.

    Raises
    ------
    TrainingError
        When too little was known.
    """
    known_on = min(eve, portfolio.meta.observed_until_date)
    data = training_set(portfolio, known_on=known_on)
    model = fit_recovery(data.between(None, eve + timedelta(days=1)), way.settings)
    then = portfolio.meta.model_copy(update={"observed_until_date": known_on})
    return _drawn(model, replace(portfolio, meta=then), way, most_loans) or model


def _drawn(
    model: RecoveryModel, portfolio: Portfolio, way: Way, most_loans: int
) -> RecoveryModel | None:
    """The model by the way's level; None where no cash came to draw it from."""
    if way.drawn_months is None:
        return model
    try:
        return levelled(model, portfolio, way.drawn_months, most_loans)
    except NoCashError:
        # A night without cash is no fault of the machine: it is judged, and a person is told.
        return None
