"""`npl backtest`: forecasts of the past held against what was really recovered."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

if TYPE_CHECKING:
    from features.portfolio import PortfolioMeta
    from models.bundle import Bundle

NAME: Final = "backtest"


def run(
    portfolio: Annotated[Path | None, typer.Argument(help="Portfolio folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write report and tables to.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Today's model, as for 'npl score'; default: one is trained on the portfolio."
        ),
    ] = None,
    lang: Annotated[
        Literal["zh", "en"], typer.Option(help="Language of page, workbook and summary.")
    ] = "zh",
    previous: Annotated[
        Path | None, typer.Option(help="report.json of the last report, to tell what changed.")
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Book of corrections to prove on later vintages.")
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Folders or MLflow runs of two backtests: tell what moved, no more."),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Refuse a portfolio with any error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Walk forward: at each reference date, what was known then trains and forecasts."""
    if compare is not None:
        from cli.backtest_report import tell_comparison

        tell_comparison(*compare, as_json)
        return
    if portfolio is None or out is None:
        raise typer.BadParameter(
            "give a PORTFOLIO and --out, or --compare with two folders or runs"
        )
    from cli import console
    from cli.backtest_report import tell, tell_json
    from cli.model_choice import chosen_bundle
    from features.check import check_portfolio
    from features.portfolio import read_portfolio
    from features.replacing import refuse_occupied
    from models.correction_book import read_book
    from training.backtest_run import OWN_FILES, Wanted, tracked_backtest
    from training.errors import TrainingError
    from training.report.schema import read_report

    refuse_occupied(out, OWN_FILES, "backtest", TrainingError)
    last = read_report(previous) if previous else None
    book = read_book(corrections) if corrections else None
    bundle = chosen_bundle(model) if model else None
    checked = check_portfolio(read_portfolio(portfolio))
    if strict:
        checked.require_clean()
    if bundle is not None:
        refuse_other(checked.portfolio.meta, bundle)
    given = {"model": model, "out": out, "lang": lang, "previous": previous}
    command = _command(portfolio, given | {"corrections": corrections})
    wanted = Wanted(command, lang, bundle=bundle, book=book, previous=last)
    with console.err.status("walking forward"):
        found, report = tracked_backtest(checked, wanted, out)
    if as_json:
        console.print_json(found.provenance | {"folder": str(out)} | tell_json(report))
    else:
        tell(report, lang, out)


def refuse_other(meta: "PortfolioMeta", bundle: "Bundle") -> None:
    """Refuse a model that speaks of other amounts or other fields than the portfolio.

    Raises
    ------
    ScoringError
        As `npl score`.
    """
    from models.request import refuse_other_fields, refuse_other_terms

    refuse_other_terms(meta.currency, meta.recovery_basis, bundle)
    refuse_other_fields(meta.extra_fields, bundle)


def _command(portfolio: Path, options: dict[str, Path | str | None]) -> str:
    told = [f"--{name} {value}" for name, value in options.items() if value is not None]
    return " ".join(["npl backtest", str(portfolio), *told])
