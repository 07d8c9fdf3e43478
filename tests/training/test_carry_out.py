"""What a night does with a verdict: once, and only against the champion it was reached against."""

from pathlib import Path
from typing import Any

import pytest

from features.store import open_store
from models import registry
from models.errors import RegistryError
from models.reference import DEFAULT_NAME, ModelReference
from tests.training.night_bank import Bank
from training.approval import roll_back
from training.decision_log import add_decision, read_decisions
from training.night import Night
from training.night_settings import NightSettings
from training.night_steps import carry_out, find_changes
from training.tracking import tracked_run


def register(bank: Bank, bundle: Path) -> int:
    """Register the champion's bundle once more."""
    with tracked_run("train", open_store(bank.folder).portfolio(), store=bank.mlflow) as run:
        return registry.register(bank.mlflow, bundle, run.run_id).version


def night_of(bank: Bank, name: str = DEFAULT_NAME) -> Night:
    store = open_store(bank.folder)
    return Night(store, bank.mlflow, name, NightSettings(), None, True, lambda _: None)


def won(version: int, against: int) -> dict[str, Any]:
    """What the steps before found of a challenger that won."""
    return {
        "changes": {"champion_version": against},
        "due": {"due": True},
        "trained": {"version": version, "bundle_version": "b"},
        "gate": {"decision": "promote", "reason": "every check passed"},
    }


def promote(bank: Bank, version: int) -> None:
    registry.promote(bank.mlflow, ModelReference(DEFAULT_NAME, version, None))


def test_a_challenger_that_won_is_promoted_once(bank: Bank, founded: Path) -> None:
    night, parts = night_of(bank), won(register(bank, founded / "bundle"), against=1)
    first = carry_out(night, parts)
    assert (first["outcome"], first["champion_version"], bank.champion) == ("promoted", 2, 2)
    # Rolled back by hand before the journal's entry was written: the record is told, not undone.
    roll_back(bank.folder, bank.mlflow, "Li", "complaints")
    assert carry_out(night, parts) == first
    assert bank.champion == 1
    assert [d["outcome"] for d in read_decisions(night.decisions)] == ["promoted", "rolled_back"]


def test_a_promotion_that_a_kill_left_off_the_record_is_recorded(bank: Bank, founded: Path) -> None:
    night, parts = night_of(bank), won(register(bank, founded / "bundle"), against=1)
    promote(bank, 2)
    assert carry_out(night, parts)["outcome"] == "promoted"
    assert bank.champion == 2


def test_a_champion_it_was_never_held_against_stays(bank: Bank, founded: Path) -> None:
    night, parts = night_of(bank), won(register(bank, founded / "bundle"), against=1)
    promote(bank, register(bank, founded / "bundle"))
    found = carry_out(night, parts)
    assert (found["outcome"], found["champion_version"], bank.champion) == ("held", 3, 3)
    assert "is version 3 by now, and the challenger was held against version 1" in found["reason"]
    # What is on record stands when the way is free: a person approves it, not a second run.
    registry.rollback(bank.mlflow, DEFAULT_NAME)
    assert carry_out(night, parts) == found
    assert bank.champion == 1


def test_what_was_taken_back_before_it_was_recorded_is_held(bank: Bank, founded: Path) -> None:
    night, parts = night_of(bank), won(register(bank, founded / "bundle"), against=1)
    promote(bank, 2)
    registry.rollback(bank.mlflow, DEFAULT_NAME)
    found = carry_out(night, parts)
    assert (found["outcome"], bank.champion) == ("held", 1)
    assert found["reason"] == "it was promoted, and taken back since"


def test_a_record_of_another_model_makes_no_champion(bank: Bank) -> None:
    night = night_of(bank, "cards")
    add_decision(night.decisions, {"id": "a", "model": DEFAULT_NAME, "outcome": "refused"})
    assert find_changes(night)["champion_version"] is None
    add_decision(night.decisions, {"id": "b", "model": "cards", "outcome": "refused"})
    # A champion there was, and it is gone: no beginning.
    with pytest.raises(RegistryError):
        find_changes(night)
