"""Steps of a night that run on a schedule or for few challengers: the search, and the backtest."""

from dataclasses import replace
from typing import Any

import pytest

from features.store import open_store
from models import registry
from models.bundle import Bundle
from models.reference import DEFAULT_NAME, ModelReference
from tests.training.night_bank import Bank
from training.errors import TrainingError
from training.night import TUNED, Night
from training.night_backtest import backtest_challenger
from training.night_settings import BacktestSettings, NightSettings, TuneSettings
from training.night_steps import find_due
from training.night_tuning import STEP, search_settings, tuned_for
from training.report.schema import read_report
from training.tuned import Tuned, read_tuned, write_tuned


def night_of(bank: Bank, settings: NightSettings, *, commit: int = 1) -> Night:
    store = open_store(bank.folder).at(commit)
    return Night(store, bank.mlflow, DEFAULT_NAME, settings, None, True, lambda _: None)


def test_a_challenger_that_is_not_refused_has_a_deviation_report(
    done: tuple[Bank, dict[str, Any]],
) -> None:
    bank, _ = done
    night = night_of(bank, NightSettings())
    assert backtest_challenger(night, {"decision": "refuse"}) == {
        "made": False,
        "told": "the gate refused",
    }
    none = night_of(bank, NightSettings(backtest=BacktestSettings(most_loans=0)))
    assert not backtest_challenger(none, {"decision": "promote"})["made"]
    few = night.settings.model_copy(update={"backtest": BacktestSettings(most_loans=900)})
    night.settings = few
    found = backtest_challenger(night, {"decision": "hold"})
    assert found["told"].startswith("900 of ")
    report = read_report((night.journal.folder / found["report"]).with_name("report.json"))
    assert (found["light"], found["report"]) == (report.light, "backtest/report.html")
    assert report.reproduction.command == "npl retrain --store store --force"
    assert report.reproduction.data_hash == night.store.digest
    assert report.data.judged_loans <= 900
    assert report.about.observed_until_date == open_store(bank.folder).meta.observed_until_date


def no_search(*_: object) -> Tuned:
    raise TrainingError("too few vintages")


def test_settings_are_searched_for_on_schedule_and_reused_in_between(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not search_settings(night_of(bank, NightSettings()))["searched"]
    settings = NightSettings(tune=TuneSettings(every_months=6, trials=4))
    first = night_of(bank, settings, commit=0)
    found = first.step(STEP, lambda: search_settings(first))
    assert (found["searched"], found["trials"]) == (True, 4)
    assert tuned_for(first, found) == read_tuned(first.journal.folder / TUNED)
    # Four months later none is due: what was found then is taken, promoted or not.
    second = night_of(bank, settings)
    waits = search_settings(second)
    assert (waits["searched"], waits["reused"]) == (False, first.identity)
    assert tuned_for(second, waits) == read_tuned(first.journal.folder / TUNED)
    assert "4 months ago" in waits["told"]
    # It is no search of another model.
    entry = first.journal.folder / f"{STEP}.json"
    entry.write_text(entry.read_text().replace(DEFAULT_NAME, "cards"))
    monkeypatch.setattr("training.night_tuning._search", no_search)
    waits = search_settings(second)
    assert (waits["told"], waits["reused"]) == ("no settings were found: too few vintages", None)
    entry.write_text(entry.read_text().replace("cards", DEFAULT_NAME))
    # Nor is it taken where the source is another by now.
    path = first.journal.folder / TUNED
    write_tuned(path, read_tuned(path).model_copy(update={"source_system": "other"}))
    waits = search_settings(second)
    assert (waits["reused"], tuned_for(second, waits)) == (None, None)
    assert "tuned for source_system 'other'" in waits["told"]


def test_a_champion_drawn_level_already_waits_for_its_trial(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of(bank, NightSettings())
    night.forced = False
    known = registry.load(bank.mlflow, ModelReference(DEFAULT_NAME, 1, None))
    changes = {"champion_version": 1, "outcomes": 10**6}
    drift = {"alarms": ["cash"], "cash_drifted": True}

    def champion(drawn_months: int | None) -> Bundle:
        told = known.provenance.settings | {"drawn_months": drawn_months}
        now = night.store.meta.observed_until_date.isoformat()
        made = known.provenance.model_copy(update={"settings": told, "known_on": now})
        return replace(known, provenance=made)

    for drawn_months, due in ((None, True), (3, False), (6, True)):
        monkeypatch.setattr(
            "training.night_steps._standing", lambda *_, of=drawn_months: champion(of)
        )
        found = find_due(night, changes, drift)
        assert (found["due"], found["too_early"]) == (due, not due)
