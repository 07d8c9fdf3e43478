"""What `npl backtest` says of its report, and what moved from one backtest to another."""

from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from training.comparison import Gain
    from training.report.schema import Report
    from training.report.words import Language

_STYLES: Final = {"green": "green", "amber": "yellow", "red": "bold red", None: "dim"}
_SIGNS: Final = {"green": "●", "amber": "▲", "red": "■", None: "○"}


def tell(report: "Report", language: "Language", folder: Path) -> None:
    """Print the ten lines of the summary with their lights, and where the files are."""
    from rich.table import Table
    from rich.text import Text

    from cli import console
    from models.backtest_files import DOCUMENT, PAGE, WORKBOOK
    from training.report.words import said

    def light(colour: Any) -> Text:
        name = said(f"light.{colour or 'none'}", language)
        return Text(f"{_SIGNS[colour]} {name}", style=_STYLES[colour])

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    # Chinese has no blanks to break at.
    table.add_column(overflow="fold")
    table.add_row(light(report.light), said("report.overall", language), report.about.portfolio)
    for line in report.summary:
        # Names of segments and features come from the data: text, never markup.
        told = Text(line.zh if language == "zh" else line.en)
        table.add_row(light(line.light), said(f"topic.{line.topic}", language), told)
    console.out.print(table)
    for name in (PAGE, DOCUMENT, WORKBOOK):
        console.out.print(str(folder / name), highlight=False, markup=False, soft_wrap=True)


def tell_json(report: "Report") -> dict[str, Any]:
    """Headline, light and summary of a report, for machines."""
    headline = next(view.cash for view in report.views if view.headline)
    return {
        "horizon_months": report.about.horizon_months,
        "judged_loans": headline.loans,
        "forecast_amount": headline.forecast_amount,
        "actual_amount": headline.actual_amount,
        "deviation_rate": headline.deviation_rate,
        "light": report.light,
        "summary": [line.model_dump(mode="json") for line in report.summary],
    }


def _verdict(gain: "Gain") -> str:
    if gain.beyond_noise:
        return "second better"
    opposite = replace(gain, gain=-gain.gain)
    return "first better" if opposite.beyond_noise else "within noise"


def _folder(run: str, scratch: Path) -> Path:
    if Path(run).is_dir():
        return Path(run)
    from models.backtest_files import FOLDER
    from models.mlflow_store import Store
    from training.tracking import fetch_folder

    scratch.mkdir()
    return fetch_folder(Store.of_environment(), run, FOLDER, scratch)


def tell_comparison(first: str, second: str, as_json: bool) -> None:
    """Print what moved from the first backtest to the second: folders, or MLflow runs."""
    from cli import console
    from training.report.compare import compare_runs

    with TemporaryDirectory() as scratch:
        folders = [
            _folder(run, Path(scratch, place)) for run, place in ((first, "1"), (second, "2"))
        ]
        found = compare_runs(*folders)
    if as_json:
        gains = {
            name: asdict(gain) | {"beyond_noise": gain.beyond_noise}
            for name, gain in found.gains.items()
        }
        console.print_json(asdict(found) | {"gains": gains})
        return
    formats = {"figure": "s", "first": ",.4g", "second": ",.4g"}
    console.print_table(found.figures, f"{first} and {second}, each on its own loans", formats)
    rows = [
        {
            "measure": name,
            "gain": gain.gain,
            "standard_error": gain.standard_error,
            "verdict": _verdict(gain),
        }
        for name, gain in found.gains.items()
    ]
    at = "ultimate" if found.horizon_months is None else f"{found.horizon_months} months"
    title = f"gain of the second, paired on {found.paired_loans:,} loans both have ({at})"
    if found.sampled_loans < found.paired_loans:
        title += f"; told on {found.sampled_loans:,} drawn of them"
    pattern = {"measure": "s", "gain": "+.5f", "standard_error": ".5f", "verdict": "s"}
    console.print_table(rows, title, pattern)
