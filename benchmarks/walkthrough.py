"""Writes docs/walkthrough.md: one loan's way from raw row to scored row, with the values.

    python -m benchmarks.walkthrough

The raw row is docs/walkthrough/package.csv, made up; the model is trained on simulated loans, so
nothing but this project is needed to follow it.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from features.check import check_tape
from features.pipeline import build_scoring_frame
from features.portfolio import read_portfolio
from features.rules import Expected
from features.sources import spreadsheet
from features.sources.result import no_ledger
from features.sources.simulated import simulate
from models.recovery import RecoveryModel
from models.scoring import score_loans, value_text
from models.trees import tree_matrix
from training.dataset import training_set
from training.fit import fit_recovery
from training.settings import FitSettings

DOCS = Path(__file__).resolve().parent.parent / "docs"
RAW = DOCS / "walkthrough" / "package.csv"
LOANS, SEED = 3_000, 7
SHOWN_FACTORS = 8


def main() -> None:
    (DOCS / "walkthrough.md").write_text(walkthrough(), encoding="utf-8")


def walkthrough() -> str:
    """Text of docs/walkthrough.md."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "simulated"
        simulate(folder, LOANS, SEED)
        data = training_set(read_portfolio(folder))
        model = fit_recovery(data, FitSettings("shallow", 0.5))
    sheet = spreadsheet.read(RAW, extra_fields=data.meta.extra_fields)
    checked = check_tape(
        sheet.tape.lazy(),
        Expected("claim", data.meta.extra_fields, "CNY"),
        RAW.name,
        row_numbers=sheet.row_numbers,
    )
    first = checked.tape.head(1)
    frame = build_scoring_frame(first, no_ledger().lazy(), model.spec).collect()
    scores = score_loans(model, first, no_ledger().lazy(), explain=True)
    return "\n".join(
        [
            _opening(),
            _raw_and_tape(sheet, checked.tape.head(1).collect()),
            _checks(sheet, checked.faults.messages()),
            _features(model, frame),
            _score(model, frame),
            _factors(model, scores),
            _scored(scores),
        ]
    )


def _opening() -> str:
    return f"""# One loan's way from raw row to scored row

Written by `python -m benchmarks.walkthrough`; a test writes it again and compares. The raw file is
[`walkthrough/package.csv`](walkthrough/package.csv), a made-up package of two loans as a Chinese
bank would send it: two lines of title, amounts in 万元, a line of totals. The model is trained on
{LOANS:,} simulated loans (seed {SEED}), with shallow trees and a linear part of weight 0.5.

The same steps on the command line:

    npl simulate --loans {LOANS} --seed {SEED} --out simulated
    npl train simulated --out bundle
    npl score docs/walkthrough/package.csv --model bundle --out scores.csv --explain

(`npl train` chooses the settings itself, so its figures differ a little from those below.)
"""


def _raw_and_tape(sheet: spreadsheet.SpreadsheetResult, tape: pl.DataFrame) -> str:
    with RAW.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    raw = rows[sheet.row_numbers[0] - 1]
    lines = [
        "## 1. Raw row to tape\n",
        f"The header is found in row {sheet.report.header_row}; each header is mapped by name or"
        " synonym, the unit 万元 above the table multiplies amounts by 10,000, codes are put in the"
        " schema's words, dates in ISO form (`features/sources/spreadsheet.py`).\n",
        "| header | raw value | field | tape value |\n|---|---|---|---|",
    ]
    for column in sheet.report.mapped:
        value = tape[column.field][0]
        lines.append(
            f"| {column.header} | {raw[column.place]} | `{column.field}` | {_plain(value)} |"
        )
    filled = "; ".join(f"`{name}`: {origin}" for name, origin in sheet.report.filled.items())
    lines.append(f"\nFilled without a column: {filled}.\n")
    return "\n".join(lines)


def _checks(sheet: spreadsheet.SpreadsheetResult, messages: list[str]) -> str:
    account = ", ".join(f"{row['step']} {row['rows']}" for row in sheet.account.to_dicts())
    told = "\n".join(f"- {message}" for message in messages) or "- no fault"
    return f"""## 2. Checks

Rows of the file: {account}. `features/check.py` finds:

{told}
"""


def _features(model: RecoveryModel, frame: pl.DataFrame) -> str:
    lines = [
        "## 3. Tape to features\n",
        f"`build_features` makes {len(model.spec.names)} features, the same code as in training."
        f" The exposure (principal + interest + fees) is {frame['ead_amount'][0]:,.2f} yuan. A bare"
        " tape brings no ledger, so payments are known only from the tape's own fields. Those that"
        " have a value:\n",
        "| feature | value | meaning | 含义 |\n|---|---:|---|---|",
    ]
    for definition in model.spec.definitions:
        text = value_text(frame[definition.name][0], definition)
        if text is not None:
            lines.append(
                f"| `{definition.name}` | {text} | {definition.meaning_en} |"
                f" {definition.meaning_zh} |"
            )
    missing = [name for name in model.spec.names if frame[name][0] is None]
    lines.append(f"\nMissing: {', '.join(f'`{name}`' for name in missing)}.\n")
    return "\n".join(lines)


def _score(model: RecoveryModel, frame: pl.DataFrame) -> str:
    linear = float(model.linear.score(frame)[0])
    trees = float(model.trees.score(tree_matrix(frame, model.spec.names))[0])
    score = float(model.score(frame)[0])
    rate = float(model.recovery_rate(frame)[0])
    formula = "1 / (1 + exp(-score))" if model.link == "logit" else "the score itself"
    return f"""## 4. Features to score

At {model.ultimate_months} months, the end of a workout:

| part | value |
|---|---:|
| level | {model.level:.6f} |
| linear part, weight {model.linear_weight:g} | {linear:.6f} |
| mean of {len(model.trees.texts)} boosters, weight {model.tree_weight:g} | {trees:.6f} |
| score = level + {model.linear_weight:g} x linear + {model.tree_weight:g} x trees | {score:.6f} |
| recovery rate = {formula} | {rate:.6f} |
"""


def _factors(model: RecoveryModel, scores: pl.DataFrame) -> str:
    row = scores.to_dicts()[0]
    points = {name: row[f"points_{name}"] for name in model.spec.names}
    order = sorted(points, key=lambda name: -abs(points[name]))
    shown = order[:SHOWN_FACTORS]
    rest = float(np.sum([points[name] for name in order[SHOWN_FACTORS:]]))
    lines = [
        "## 5. Why\n",
        "Linear Shapley values and TreeSHAP contributions add up on the score; each loan's are"
        " scaled by one factor, the slope of the chord from its base to its prediction, to add up"
        " in recovery-rate points as well (`models/link.py`).\n",
        "| factor | points |\n|---|---:|",
        f"| base: the average loan in {model.ultimate_months} months | {row['base_rate']:.6f} |",
        *(f"| `{name}` | {points[name]:+.6f} |" for name in shown),
        f"| {len(order) - SHOWN_FACTORS} others | {rest:+.6f} |",
        f"| **recovery rate** | **{row['recovery_rate']:.6f}** |",
        "",
    ]
    return "\n".join(lines)


def _scored(scores: pl.DataFrame) -> str:
    row = scores.to_dicts()[0]
    names = [n for n in scores.columns if not n.startswith(("points_", "factor_", "other_"))]
    lines = ["## 6. The scored row\n", "| column | value |\n|---|---:|"]
    lines += [f"| `{name}` | {_plain(row[name])} |" for name in names]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
