"""A backtest as it is kept: an MLflow run, report and tables in a folder, whole or not at all."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from features.checked import CheckedPortfolio
from features.replacing import replacing_folder
from models.bundle import Bundle
from models.correction_book import CorrectionBook
from models.mlflow_store import Store
from training.backtest import Backtest, backtest
from training.backtest_record import record_backtest
from training.backtest_tables import OWN_FILES as TABLE_FILES
from training.backtest_tables import write_tables
from training.errors import TrainingError
from training.report.build import build_report
from training.report.schema import Report
from training.report.words import Language
from training.report.writing import OWN_FILES as REPORT_FILES
from training.report.writing import write_report
from training.settings import FitSettings
from training.tracking import tracked_run

# What the folder of a backtest holds.
OWN_FILES: Final = (*TABLE_FILES, *REPORT_FILES)


@dataclass(frozen=True)
class Wanted:
    """What a backtest is asked for.

    Attributes
    ----------
    command : str
        What was called, for the report.
    language : {"zh", "en"}
        Of page and workbook.
    bundle : Bundle, optional
        Today's model; by default one is trained on the portfolio.
    settings : FitSettings, optional
        Of every fit; by default chosen on what was known.
    book : CorrectionBook, optional
        Corrections to be proven.
    previous : Report, optional
        The last report, to tell what changed.
    tags : dict of str to str
        Further tags of the run.
    """

    command: str
    language: Language
    bundle: Bundle | None = None
    settings: FitSettings | None = None
    book: CorrectionBook | None = None
    previous: Report | None = None
    tags: dict[str, str] | None = None


def tracked_backtest(
    checked: CheckedPortfolio, wanted: Wanted, out: Path, store: Store | None = None
) -> tuple[Backtest, Report]:
    """Walk forward in an MLflow run, and write report and tables whole or not at all.

    Raises
    ------
    TrainingError
        When there is nothing to walk through, or `out` holds something else.
    StoreError
        When the MLflow store cannot be used.
    """
    model = wanted.bundle
    with tracked_run("backtest", checked.portfolio, store=store, tags=wanted.tags) as run:
        found = backtest(checked, wanted.settings, model.model if model else None)
        told = {"command": wanted.command, "current_model": model.version if model else None}
        found = replace(found, provenance=found.provenance | told)
        report = build_report(found, book=wanted.book, previous=wanted.previous)
        with replacing_folder(out, OWN_FILES, "backtest", TrainingError) as aside:
            write_tables(found, aside)
            write_report(report, wanted.language, aside)
        record_backtest(run, found, report, out)
    return found, report
