"""How to make the report again: one command, hashes, versions, folds and limits."""

from typing import Any, Final

from pydantic import Field

from training.report.blocks import Block, Column, Facts, Table, Text
from training.report.part import Part, Thresholds
from training.report.subject import Subject
from training.report.words import Words

_HASHES: Final = ("data_hash", "spec_hash", "formula_hash", "git_commit")


class Reproduction(Part):
    """All that another needs to make the same report."""

    command: str | None
    data_hash: str | None
    spec_hash: str | None
    formula_hash: str | None
    git_commit: str | None
    versions: dict[str, str]
    parameters: dict[str, Any]
    folds: tuple[dict[str, Any], ...] = Field(
        description="One row a reference date and window, as in folds.parquet."
    )


def figures(subject: Subject) -> Reproduction:
    """Provenance of the backtest."""
    told = subject.backtest.provenance
    folds = subject.backtest.folds
    return Reproduction(
        **{name: told.get(name) for name in ("command", *_HASHES)},
        versions=dict(told.get("versions") or {}),
        parameters=dict(told.get("parameters") or {}),
        # Seconds differ from run to run; what is made again does not.
        folds=tuple(
            {k: v if isinstance(v, int | str | None) else str(v) for k, v in row.items()}
            for row in folds.drop("seconds", strict=False).iter_rows(named=True)
        ),
    )  # fmt: skip


def blocks(made: Reproduction, thresholds: Thresholds, words: Words) -> list[Block]:
    """Show the command, the hashes, the folds and the limits."""
    facts = [
        (words(f"made.{name}"), str(value))
        for name in _HASHES
        if (value := getattr(made, name)) is not None
    ]
    facts += [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in made.parameters.items()
        if value is not None
    ]
    if made.versions:
        facts.append(
            (
                words("made.versions"),
                ", ".join(f"{n} {v}" for n, v in sorted(made.versions.items())),
            )
        )
    limits = [
        {"name": words(f"threshold.{name}"), "value": value}
        for name, value in thresholds.model_dump().items()
    ]
    columns = [
        Column("name", words("column.threshold")),
        Column("value", words("column.value"), "decimal"),
    ]
    shown: list[Block] = []
    if made.command:
        shown += [Text(words("made.lead")), Text(made.command, "command")]
    shown.append(Facts(facts))
    if made.folds:
        shown.append(_folds(made, words))
    shown.append(Table("thresholds", words("made.thresholds"), columns, limits))
    return shown


def _folds(made: Reproduction, words: Words) -> Table:
    names = ("fold", "window", "reference_date", "known_on", "gap_months", "train_loans",
             "train_from", "train_to", "scored_loans")  # fmt: skip
    kinds = {"gap_months": "count", "train_loans": "count", "scored_loans": "count"}
    columns = [
        Column(name, words(f"column.{name}"), kinds.get(name, "text"))  # type: ignore[arg-type]
        for name in names
    ]
    rows = [
        row | {"window": words(f"window.{row['window']}"), "fold": str(row["fold"])}
        for row in made.folds
        if row.get("forecast_of", "original") == "original"
    ]
    return Table("folds", words("made.folds"), columns, rows)
