"""The search of a night: on its schedule, within its budget, and reused in between."""

import json
from datetime import date
from typing import Any, Final

from features.portfolio import Portfolio
from training.errors import TrainingError
from training.night import NIGHTS, TUNED, Night
from training.search import Budget
from training.tracking import end_runs, tracked_run
from training.tune import tune
from training.tune_record import record_tuning
from training.tuned import Tuned, read_tuned, write_tuned

STEP: Final = "4-tune"
_STUDY: Final = "study.log"


def search_settings(night: Night) -> dict[str, Any]:
    """Search where the schedule asks for it, and tell what was found or why not.

    A killed search goes on from the trials it had.
    """
    wanted = night.settings.tune
    if night.tuned is not None or not wanted.every_months:
        return _no("settings were given" if night.tuned is not None else "no search is scheduled")
    now, last = night.store.meta.observed_until_date, _last_search(night)
    if last is not None:
        months = (now.year - last.year) * 12 + now.month - last.month
        if months < wanted.every_months:
            return _no(f"the last search was {months} months ago, one is due after that many:"
                       f" {wanted.every_months}")  # fmt: skip
    portfolio = night.store.portfolio(learnable=True)
    try:
        tuned = _search(night, portfolio)
    except TrainingError as error:
        # The night goes on with the settings that stand, and says so.
        return _no(f"no settings were found: {error}")
    return {
        "searched": True,
        "told": tuned.verdict,
        "trials": len(tuned.trials),
        "observed_until_date": now.isoformat(),
    }


def tuned_for(night: Night, found: dict[str, Any]) -> Tuned | None:
    """Settings of a search that tonight's challenger takes: given, or found tonight."""
    if night.tuned is not None or not found["searched"]:
        return night.tuned
    return read_tuned(night.own_folder / TUNED)


def _no(told: str) -> dict[str, Any]:
    return {"searched": False, "told": told}


def _search(night: Night, portfolio: Portfolio) -> Tuned:
    wanted = night.settings.tune
    study = str(night.journal.folder / _STUDY)
    end_runs(night.mlflow, night.tags | {"kind": "tune"})
    with tracked_run("tune", portfolio, store=night.mlflow, tags=night.tags) as run:
        tuned = tune(portfolio, study, Budget(wanted.trials, wanted.minutes))
        write_tuned(night.journal.folder / TUNED, tuned)
        record_tuning(run, tuned)
    return tuned


def _last_search(night: Night) -> date | None:
    """Day whose knowledge the newest search of an earlier night had."""
    days = []
    for entry in (night.store.folder / NIGHTS).glob(f"*/{STEP}.json"):
        # A night is named by its commit: later ones are not known to a night done again.
        if int(entry.parent.name.split("-")[0]) >= night.store.last.number:
            continue
        found = json.loads(entry.read_text(encoding="utf-8"))
        if found["searched"]:
            days.append(date.fromisoformat(found["observed_until_date"]))
    return max(days, default=None)
