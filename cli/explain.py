"""`npl explain`: pictures of what moves a package and its loans, and the reasons of every loan."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from cli.explanation_pictures import Language
    from features.spec import FeatureSpec
    from models.recovery import RecoveryModel

NAME: Final = "explain"
OWN_FILES: Final = ("reasons.csv", "*.svg")
# Dots beyond this many hide each other; loans are taken at even steps of the tape.
LOANS_DRAWN: Final = 2_000
DEPENDENCE_PICTURES: Final = 4


def run(
    tape: Annotated[Path, typer.Argument(help="Portfolio folder, or a tape: parquet, CSV, XLSX.")],
    model: Annotated[Path, typer.Option(help="Bundle of 'npl train'.")],
    out: Annotated[Path, typer.Option(help="Folder to write pictures (SVG) and reasons.csv to.")],
    loan: Annotated[
        list[str] | None, typer.Option(help="Loan to draw by itself; may be given again.")
    ] = None,
    lang: Annotated[Literal["en", "zh"], typer.Option(help="Language of the pictures.")] = "en",
    mapping: Annotated[Path | None, typer.Option(help="Spreadsheets: mapping of headers.")] = None,
) -> None:
    """Draw what moves a package and single loans, and write the reasons of every loan."""
    from cli import console
    from cli.explanation_pictures import chinese_font
    from cli.outputs import write_table
    from features.replacing import refuse_occupied, replacing_folder
    from models.bundle import read_bundle
    from models.errors import ScoringError
    from models.scoring import score_loans
    from models.tape_file import checked_input
    from models.unscored import with_unscored

    refuse_occupied(out, OWN_FILES, "explanation", ScoringError)
    bundle = read_bundle(model)
    checked = checked_input(tape, bundle, mapping, strict=False)
    with console.progress("explaining") as report:
        good = score_loans(
            bundle.model, checked.tape, checked.ledger, explain=True, progress=report
        )
    scores = with_unscored(
        good, checked.set_aside, checked.faults, checked.file, checked.row_numbers
    )
    asked = _asked(scores, loan or [])
    drawn_in: Language = "zh" if lang == "zh" and chinese_font() else "en"
    if drawn_in != lang:
        console.err.print(
            "no font with Chinese is installed: the pictures are labelled in English"
            " (install Noto Sans CJK)",
            highlight=False,
        )
    values = _values(bundle.model, checked.tape, checked.ledger)
    with replacing_folder(out, OWN_FILES, "explanation", ScoringError) as aside:
        kept = ("loan_id", "recovery_rate", "why_en", "why_zh", "reason")
        write_table(scores.select(kept), aside / "reasons.csv")
        spec, currency = bundle.model.spec, bundle.portfolio.currency
        drawn = _draw_package(aside, good, values, spec, drawn_in)
        for place, name in enumerate(asked, 1):
            _draw_loan(aside, place, name, good, values, spec, currency, drawn_in)
    for name in asked:
        row = good.row(by_predicate=_is_loan(name), named=True)
        console.out.print(f"{name}: {row[f'why_{lang}']}", highlight=False, markup=False)
    console.out.print(
        f"{drawn:,} of {good.height:,} loans drawn; pictures and reasons in {out},"
        f" model {bundle.version}, explained by {bundle.model.trees.explained_by}",
        highlight=False,
    )


def _is_loan(name: str) -> "pl.Expr":
    import polars as pl

    return pl.col("loan_id") == name


def _asked(scores: "pl.DataFrame", loans: list[str]) -> list[str]:
    """Loans to draw, each once.

    Raises
    ------
    ScoringError
        When one is not on the tape, or has no forecast.
    """
    from models.errors import ScoringError

    for name in loans:
        found = scores.filter(_is_loan(name))
        if found.is_empty():
            raise ScoringError(f"--loan {name}: no such loan_id on the tape; look in reasons.csv")
        if found["reason"].null_count() == 0:
            raise ScoringError(f"--loan {name}: has no forecast: {found['reason'][0]}")
    return list(dict.fromkeys(loans))


def _values(model: "RecoveryModel", tape: "pl.LazyFrame", ledger: "pl.LazyFrame") -> "pl.DataFrame":
    from features.pipeline import build_features

    return build_features(tape, ledger, model.spec).collect(engine="streaming")


def _draw_package(
    folder: Path,
    scores: "pl.DataFrame",
    values: "pl.DataFrame",
    spec: "FeatureSpec",
    lang: "Language",
) -> int:
    """Draw the beeswarm and the leading numeric features; return how many loans were drawn."""
    import numpy as np

    from cli.explanation_pictures import draw_beeswarm, draw_dependence
    from models.wording import capital

    scored = scores["reason"].is_null()
    scores, values = scores.filter(scored), values.filter(scored)
    if scores.height < 2:
        return 0
    step = -(-scores.height // LOANS_DRAWN)
    scores, values = scores.gather_every(step), values.gather_every(step)
    points = scores.select(f"points_{name}" for name in spec.names).to_numpy()
    order = np.argsort(-np.abs(points).mean(axis=0), kind="stable")
    meanings = [capital(d.meaning_zh if lang == "zh" else d.meaning_en) for d in spec.definitions]
    draw_beeswarm(folder / "beeswarm.svg", points, _colours(values, spec), meanings, lang)
    numeric = [
        int(place)
        for place in order
        if spec.definitions[place].kind in ("number", "ordered")
        and values[spec.names[place]].n_unique() > 2
    ]
    for rank, place in enumerate(numeric[:DEPENDENCE_PICTURES], 1):
        name = spec.names[place]
        draw_dependence(
            folder / f"dependence_{rank}_{name}.svg",
            points[:, place],
            values[name].to_numpy().astype(np.float64),
            spec.definitions[place],
            lang,
        )
    return scores.height


def _colours(values: "pl.DataFrame", spec: "FeatureSpec") -> "NDArray[np.object_]":
    """Values by which dots are coloured; categories have no order and stay texts."""
    import numpy as np
    import polars as pl

    columns: list[Any] = []
    for definition in spec.definitions:
        series = values[definition.name]
        plain = definition.kind == "category" or series.null_count() == len(series)
        columns.append(
            series.cast(pl.String).fill_null("–").to_numpy()
            if plain
            else series.to_numpy().astype(np.float64)
        )
    table = np.empty((values.height, len(columns)), dtype=object)
    for place, column in enumerate(columns):
        table[:, place] = column
    return table


def _draw_loan(
    folder: Path,
    place: int,
    name: str,
    scores: "pl.DataFrame",
    values: "pl.DataFrame",
    spec: "FeatureSpec",
    currency: str,
    lang: "Language",
) -> None:
    import numpy as np

    from cli.explanation_pictures import draw_waterfall
    from models.reasons import subject

    row = scores.row(by_predicate=_is_loan(name), named=True)
    own = values.row(by_predicate=_is_loan(name), named=True)
    subjects = [subject(own[d.name], d, currency) for d in spec.definitions]
    # An id may hold what a file's name may not.
    safe = re.sub(r"[^\w.-]", "_", name)
    draw_waterfall(
        folder / f"loan_{place:02d}_{safe}.svg",
        row["base_rate"],
        np.array([row[f"points_{feature}"] for feature in spec.names]),
        [chinese if lang == "zh" else english for english, chinese in subjects],
        lang,
    )
