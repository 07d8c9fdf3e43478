"""Training from end to end: choose, judge out of time, fit on everything, pack with its lineage."""

import hashlib
import platform
import subprocess
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from features.portfolio import LEDGER_FILE, META_FILE, TAPE_FILE, Portfolio
from models.bundle import Bundle, Provenance
from models.uncertainty import VintageBy
from training.dataset import training_set
from training.evaluation import Judged, compare, held_out
from training.examples import with_typical_examples
from training.fairness import fairness_rows
from training.fit import fit_recovery
from training.holdout import Holdout, hold_out
from training.selection import Choice, choose
from training.tuned import Tuned
from training.uncertainty_fit import fit_uncertainty

_NUMERIC_LIBRARIES: Final = ("lightgbm", "numpy", "polars", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Trained:
    """A trained bundle and the evidence for it.

    Attributes
    ----------
    bundle : Bundle
        Chosen and fitted on all vintages, the way that was judged.
    holdout : Holdout
        The split they were judged on.
    choice : Choice
        How the settings of the shipped model were chosen.
    judged : list of Judged
        Out-of-time accuracy, the model first, then the baselines.
    """

    bundle: Bundle
    holdout: Holdout
    choice: Choice
    judged: list[Judged]


def train(
    portfolio: Portfolio,
    holdout: Holdout | None = None,
    vintage_by: VintageBy = "cut_off_date",
    tuned: Tuned | None = None,
) -> Trained:
    """Train a recovery model on a checked portfolio that lies in a folder or a store.

    What is judged is the whole way: settings chosen on the vintages before the held-out ones, and
    a model fitted on them. The same way over all vintages makes the model that is shipped. Tuned
    settings were searched for on those earlier vintages, and are taken for both.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    holdout : Holdout, optional
        The out-of-time split; by default that of `training.holdout.hold_out`.
    vintage_by : {"cut_off_date", "origination_date"}
        What a vintage is dated by.
    tuned : Tuned, optional
        Outcome of a search, whose settings are taken; by default a preset is chosen.

    Raises
    ------
    TrainingError
        When too little is known to train or to judge, or the tuned settings belong elsewhere.
    """
    split = holdout or hold_out(portfolio, vintage_by=vintage_by)
    if tuned is not None:
        tuned.require_fit_for(portfolio.meta, split, vintage_by)
    choice = Choice(tuned.settings, []) if tuned else choose(split.train)
    judged = compare(
        fit_recovery(split.train, choice.settings), split.train, split.test, split.horizon_months
    )
    whole = training_set(portfolio, vintage_by=vintage_by)
    shipped = choice if tuned else choose(whole)
    model = fit_recovery(whole, shipped.settings)
    uncertainty, caveats = fit_uncertainty(whole, shipped.settings, vintage_by)
    bundle = Bundle(
        model=replace(model, uncertainty=uncertainty),
        portfolio=portfolio.meta,
        provenance=Provenance(
            data_hash=data_hash(portfolio),
            git_commit=git_commit(),
            versions=versions(),
            known_on=portfolio.meta.observed_until_date.isoformat(),
            settings=shipped.settings.as_document()
            | {"evidence": shipped.evidence, "vintage_by": vintage_by}
            | ({"tuned": tuned.origin} if tuned else {}),
        ),
        accuracy=accuracy_rows(split, judged),
        caveats=caveats,
        fairness=_fairness(split, judged[0]),
    )
    return Trained(with_typical_examples(bundle, portfolio), split, shipped, judged)


def _fairness(split: Holdout, ours: Judged) -> list[dict[str, Any]]:
    loans, actual = held_out(split.test, split.horizon_months)
    return fairness_rows(loans, ours.forecast, actual)


def accuracy_rows(split: Holdout, judged: list[Judged]) -> list[dict[str, Any]]:
    """Out-of-time table as rows of plain values; an undefined figure is None."""
    about = {"held_out_from": split.start.isoformat(), "horizon_months": split.horizon_months}
    rows = []
    for one in judged:
        figures: dict[str, Any] = {
            name: None if value != value else value for name, value in one.accuracy.as_row().items()
        }
        rows.append({"model": one.name} | figures | about)
    return rows


def data_hash(portfolio: Portfolio) -> str:
    """SHA-256 over the three files of a portfolio folder, in a fixed order; or a store's digest.

    Raises
    ------
    ValueError
        When the portfolio lies in no folder and comes from no store.
    """
    if portfolio.digest is not None:
        return portfolio.digest
    if portfolio.path is None:
        raise ValueError("a portfolio in memory has no files to hash; write it first")
    digest = hashlib.sha256()
    for name in (TAPE_FILE, LEDGER_FILE, META_FILE):
        with (portfolio.path / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what shapes the numbers."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("npl-recovery", *_NUMERIC_LIBRARIES)},
    }


def git_commit() -> str | None:
    """Commit of the code that runs, with a `+` where it was changed since; None outside git."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    found = subprocess.run(  # fixed arguments, no shell
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return found.stdout.strip()
