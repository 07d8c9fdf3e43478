"""The outcome of a search, as a file: settings to train with, and the evidence for them."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from features.portfolio import PortfolioMeta, RecoveryBasis, RecoveryTiming
from features.replacing import replacing_file
from models.uncertainty import VintageBy
from training.errors import TrainingError
from training.holdout import Holdout
from training.settings import FitSettings
from training.trial_loss import FoldLoss, LossGain

Kept = Literal["tuned", "untuned"]


class TrialRow(BaseModel):
    """One trial; see `training.search.Trial`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    state: Literal["complete", "pruned", "waiting"]
    loss: float | None
    settings: FitSettings
    folds: tuple[FoldLoss, ...]
    seconds: float
    attempts: int
    error: str


class OuterFold(BaseModel):
    """One outer fold of the nested search: a search on its earlier vintages, judged on its block.

    Attributes
    ----------
    first_vintage : str
        Where the block begins.
    loans : int
        Loans judged in the block.
    inner_loss, outer_loss : float
        Of the best trial: on the folds that chose it, and on the block.
    untuned_inner_loss, untuned_outer_loss : float
        The same of the settings that are chosen without a search.
    kept : {"tuned", "untuned"}
        What would have been kept, without a nested search of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_vintage: str
    loans: int
    inner_loss: float
    outer_loss: float
    untuned_inner_loss: float
    untuned_outer_loss: float
    kept: Kept

    @property
    def optimism(self) -> float:
        """How much worse the best trial did on the block than where it was chosen."""
        return self.outer_loss - self.inner_loss

    @property
    def drift(self) -> float:
        """The same of the untuned settings: the block is harder, or the world changed."""
        return self.untuned_outer_loss - self.untuned_inner_loss


class Nested(BaseModel):
    """How much the search flatters itself.

    Attributes
    ----------
    folds : tuple of OuterFold
        In time order.
    gain, standard_error : float
        Gain in outer loss of the best trials over the untuned settings, over all blocks, and its
        noise. Below 0 it vetoes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: tuple[OuterFold, ...]
    gain: float
    standard_error: float

    @property
    def optimism(self) -> float:
        """Mean optimism of the folds, less their mean drift: what is due to the search alone."""
        return sum(fold.optimism - fold.drift for fold in self.folds) / len(self.folds)


class Tuned(BaseModel):
    """What a search found, and whether it is worth its complexity.

    Attributes
    ----------
    source_system, recovery_basis, recovery_timing, vintage_by : str
        What the portfolio is; a model may be trained with these settings on such a one only.
    held_out_from : str
        First vintage that the search never saw.
    data_hash, spec_hash, code_hash : str
        SHA-256 of the portfolio's files, the features' specification, the code.
    study : str
        Where the trials lie.
    seed : int
        Seed of sampler and fits.
    horizon_months, gap_months : int
        Horizon of the loss (missing: the ultimate), and months between the sides of a fold.
    kept : {"tuned", "untuned"}
        Which settings `settings` are.
    settings : FitSettings
        Settings to train with.
    best, untuned : FitSettings
        Those of the best trial, and those chosen without a search.
    best_loss, untuned_loss : float
        Their losses over all folds. The first is flattered: it was chosen for being small.
    honest_loss : float
        Loss over all folds of the trial that was best on the others.
    gain, standard_error : float
        Gain of `honest_loss` over `untuned_loss`, and its paired noise.
    quarters : int
        Quarters of vintages it was measured on; see `training.trial_loss.LossGain`.
    trials : tuple of TrialRow
        Every trial, by number.
    nested : Nested, optional
        Where it was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    source_system: str
    recovery_basis: RecoveryBasis
    recovery_timing: RecoveryTiming
    vintage_by: VintageBy
    held_out_from: str
    data_hash: str
    spec_hash: str
    code_hash: str
    study: str
    seed: int
    horizon_months: int | None
    gap_months: int
    kept: Kept
    settings: FitSettings
    best: FitSettings
    untuned: FitSettings
    best_loss: float
    untuned_loss: float
    honest_loss: float
    gain: float
    standard_error: float
    quarters: int
    trials: tuple[TrialRow, ...]
    nested: Nested | None = None

    @property
    def verdict(self) -> str:
        """One sentence on what was kept and why."""
        told = f"{self.gain:+.4f} +- {self.standard_error:.4f} over {self.quarters} quarters"
        if self.kept == "tuned":
            return f"tuned settings kept: the search gains {told}, beyond noise"
        if LossGain(self.gain, self.standard_error, self.quarters).beyond_noise:
            return (
                f"untuned settings kept: the search gains {told}, but searches on earlier vintages"
                " came out worse on the next ones"
            )
        return f"untuned settings kept: the search gains {told}, not beyond noise"

    def require_fit_for(self, meta: PortfolioMeta, split: Holdout, vintage_by: VintageBy) -> None:
        """Refuse a portfolio or split that these settings do not belong to.

        Settings outlive the data they were found on: a source is tuned now and then and trained on
        every night, so its files may have grown. They belong to the source and to what its rates
        and vintages mean, and must not have seen what the split judges by.

        Raises
        ------
        TrainingError
            Naming what differs.
        """
        own = {
            "source_system": (self.source_system, meta.source_system),
            "recovery_basis": (self.recovery_basis, meta.recovery_basis),
            "recovery_timing": (self.recovery_timing, meta.recovery_timing),
            "vintage_by": (self.vintage_by, vintage_by),
        }
        differing = [f"{name} {a!r}, not {b!r}" for name, (a, b) in own.items() if a != b]
        if differing:
            raise TrainingError(
                f"these settings were tuned for {'; '.join(differing)}: tune on this portfolio"
            )
        if split.start.isoformat() < self.held_out_from:
            raise TrainingError(
                f"these settings were tuned on vintages up to {self.held_out_from}, and the split"
                f" holds out those from {split.start}: hold out from {self.held_out_from} or later"
            )

    @property
    def origin(self) -> dict[str, Any]:
        """Where the settings come from, for the provenance of a model."""
        return {
            "data_hash": self.data_hash,
            "spec_hash": self.spec_hash,
            "code_hash": self.code_hash,
            "held_out_from": self.held_out_from,
            "kept": self.kept,
            "gain": self.gain,
            "standard_error": self.standard_error,
        }


def write_tuned(path: Path, tuned: Tuned) -> None:
    """Write the outcome aside, then rename it."""
    with replacing_file(path) as aside:
        aside.write_text(tuned.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_tuned(path: Path) -> Tuned:
    """Read an outcome of `npl tune`.

    Raises
    ------
    TrainingError
        When the file is missing or no such outcome.
    """
    try:
        return Tuned.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); run 'npl tune'") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise TrainingError(f"{path}: {where}: {first['msg']}; run 'npl tune' again") from error
