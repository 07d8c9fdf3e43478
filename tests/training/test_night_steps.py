"""Steps of a night that run on a schedule or for few challengers: the search, and the backtest."""

from pathlib import Path
from typing import Any

from features.store import open_store
from models.reference import DEFAULT_NAME
from tests.training.night_bank import Bank
from training.night import TUNED, Night
from training.night_backtest import backtest_challenger
from training.night_settings import BacktestSettings, NightSettings, TuneSettings
from training.night_tuning import STEP, search_settings, tuned_for
from training.report.schema import read_report
from training.tuned import read_tuned


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
    report = read_report(Path(found["report"]).with_name("report.json"))
    assert found["light"] == report.light
    assert report.data.judged_loans <= 900
    assert report.about.observed_until_date == open_store(bank.folder).meta.observed_until_date


def test_settings_are_searched_for_on_schedule_and_reused_in_between(bank: Bank) -> None:
    assert not search_settings(night_of(bank, NightSettings()))["searched"]
    settings = NightSettings(tune=TuneSettings(every_months=6, trials=4))
    first = night_of(bank, settings, commit=0)
    found = first.step(STEP, lambda: search_settings(first))
    assert (found["searched"], found["trials"]) == (True, 4)
    assert tuned_for(first, found) == read_tuned(first.journal.folder / TUNED)
    # Four months later none is due.
    second = night_of(bank, settings)
    waits = search_settings(second)
    assert (waits["searched"], tuned_for(second, waits)) == (False, None)
    assert "4 months ago" in waits["told"]
