"""The backtest of a night: the deviation report of a challenger that may take the place."""

from typing import Any, Final

from features.check import check_portfolio
from models.backtest_files import PAGE
from models.bundle import read_bundle
from training.backtest_loans import of_loans, sampled_ids
from training.backtest_run import Wanted, tracked_backtest
from training.errors import TrainingError
from training.night import Night
from training.night_training import way_of
from training.report.changes import key_figures

FOLDER: Final = "backtest"
_SEED: Final = 20_251_125


def backtest_challenger(night: Night, verdict: dict[str, Any]) -> dict[str, Any]:
    """Walk forward with the challenger's settings through loans drawn at random.

    What the gate refused is not worth the time. A portfolio that allows no reference date has no
    report, which is told; nothing is decided by it.
    """
    most = night.settings.backtest.most_loans
    if verdict["decision"] == "refuse" or not most:
        return _none("the gate refused" if most else "none is wanted")
    portfolio = night.store.portfolio(learnable=True)
    ids = portfolio.tape.select("loan_id").collect(engine="streaming")["loan_id"]
    drawn = of_loans(portfolio, sampled_ids(ids, most, _SEED))
    bundle = read_bundle(night.bundle_folder)
    wanted = Wanted(
        command=night.command,
        language=night.settings.backtest.language,
        bundle=bundle,
        settings=way_of(bundle.provenance).settings,
        tags=night.tags,
    )
    folder = night.journal.folder / FOLDER
    try:
        _, report = tracked_backtest(check_portfolio(drawn), wanted, folder, night.mlflow)
    except TrainingError as error:
        return _none(str(error))
    return {
        "made": True,
        "told": f"{min(most, len(ids)):,} of {len(ids):,} loans",
        "light": report.light,
        "figures": key_figures(report),
        "report": f"{FOLDER}/{PAGE}",
    }


def _none(told: str) -> dict[str, Any]:
    return {"made": False, "told": told}
