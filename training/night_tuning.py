"""The search of a night: on its schedule, within its budget, and reused in between."""

from datetime import date
from typing import Any, Final, NamedTuple

from features.portfolio import Portfolio
from training.errors import TrainingError
from training.holdout import hold_out
from training.night import NIGHTS, TUNED, Night
from training.night_journal import NightJournal
from training.search import Budget
from training.tracking import tracked_run
from training.tune import tune
from training.tune_record import record_tuning
from training.tuned import Tuned, read_tuned, write_tuned

STEP: Final = "4-tune"
_STUDY: Final = "study.log"


class _Searched(NamedTuple):
    """A night that searched, and the day whose knowledge it had."""

    day: date
    night: str


def search_settings(night: Night) -> dict[str, Any]:
    """Search where the schedule asks for it, and tell what was found or why not.

    In between, settings of the last search are taken, whatever became of its challenger, as long as
    they fit the data. A killed search goes on from the trials it had.
    """
    wanted = night.settings.tune
    if night.tuned is not None or not wanted.every_months:
        why = "settings were given" if night.tuned is not None else "no search is scheduled"
        return _no(night, why, None)
    now, last = night.store.meta.observed_until_date, _last_search(night)
    if last is not None:
        months = (now.year - last.day.year) * 12 + now.month - last.day.month
        if months < wanted.every_months:
            why = (
                f"the last search was {months} months ago, one is due after that many:"
                f" {wanted.every_months}"
            )
            return _no(night, why, last)
    try:
        tuned = _search(night, night.store.portfolio(learnable=True))
    except TrainingError as error:
        # The night goes on with the settings that stand, and says so.
        return _no(night, f"no settings were found: {error}", last)
    return {
        "model": night.name,
        "searched": True,
        "reused": None,
        "told": tuned.verdict,
        "trials": len(tuned.trials),
        "observed_until_date": now.isoformat(),
    }


def tuned_for(night: Night, found: dict[str, Any]) -> Tuned | None:
    """Settings of a search that tonight's challenger takes: given, found tonight, or reused."""
    if night.tuned is not None:
        return night.tuned
    if found["searched"]:
        return read_tuned(night.own_folder / TUNED)
    if found["reused"] is None:
        return None
    return read_tuned(night.store.folder / NIGHTS / found["reused"] / TUNED)


def _no(night: Night, told: str, last: _Searched | None) -> dict[str, Any]:
    """No search tonight; settings of the last one, where there was one and they fit."""
    reused = None
    if last is not None:
        portfolio = night.store.portfolio(learnable=True)
        try:
            tuned = read_tuned(night.store.folder / NIGHTS / last.night / TUNED)
            tuned.require_fit_for(portfolio.meta, hold_out(portfolio), "cut_off_date")
        except TrainingError as error:
            told += f"; its settings are not taken again: {error}"
        else:
            reused = last.night
            told += f"; its settings are taken again ({tuned.verdict})"
    return {"model": night.name, "searched": False, "reused": reused, "told": told}


def _search(night: Night, portfolio: Portfolio) -> Tuned:
    wanted = night.settings.tune
    study = str(night.journal.folder / _STUDY)
    with tracked_run("tune", portfolio, store=night.mlflow, tags=night.tags) as run:
        tuned = tune(portfolio, study, Budget(wanted.trials, wanted.minutes))
        write_tuned(night.journal.folder / TUNED, tuned)
        record_tuning(run, tuned)
    return tuned


def _last_search(night: Night) -> _Searched | None:
    """The newest search of an earlier night for this model."""
    searches = []
    for entry in (night.store.folder / NIGHTS).glob(f"*/{STEP}.json"):
        # A night is named by its commit: later ones are not known to a night done again.
        if int(entry.parent.name.split("-")[0]) >= night.store.last.number:
            continue
        found = NightJournal(entry.parent).found(STEP)
        if found is not None and found["searched"] and found["model"] == night.name:
            day = date.fromisoformat(found["observed_until_date"])
            searches.append(_Searched(day, entry.parent.name))
    return max(searches, default=None)
