"""Decisions are added, sealed, and added once."""

from pathlib import Path

import pytest

from training.decision_log import add_decision, read_decisions
from training.errors import TrainingError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    for number in range(3):
        add_decision(path, {"id": f"night-{number}", "reason": "更好"})
    return path


def test_decisions_stand_in_order_and_once(log: Path) -> None:
    first = read_decisions(log)
    assert [entry["id"] for entry in first] == ["night-0", "night-1", "night-2"]
    assert add_decision(log, {"id": "night-1", "reason": "another"}) == first[1]
    assert read_decisions(log) == first
    assert read_decisions(log.parent / "none") == []


@pytest.mark.parametrize("change", ["altered", "removed", "torn"])
def test_a_record_that_was_touched_is_refused(log: Path, change: str) -> None:
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    touched = {
        "altered": [lines[0].replace("更好", "更差"), *lines[1:]],
        "removed": [lines[0], lines[2]],
        "torn": [lines[0], lines[1][:20] + "\n", lines[2]],
    }
    log.write_text("".join(touched[change]), encoding="utf-8")
    with pytest.raises(TrainingError, match="restore the file"):
        read_decisions(log)


def test_half_a_line_of_a_killed_writer_is_written_over(log: Path) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"id": "night-3", "rea')
    assert len(read_decisions(log)) == 3
    add_decision(log, {"id": "night-3"})
    assert [entry["id"] for entry in read_decisions(log)][-1] == "night-3"
    assert log.read_bytes().startswith(whole)
