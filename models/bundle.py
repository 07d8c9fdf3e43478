"""A model on disk: booster texts, a JSON manifest, its card. No pickle, nothing executable."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from features.pipeline import formula_hash
from features.portfolio import PortfolioMeta
from features.replacing import replacing_folder
from features.spec import FeatureSpec
from models.card import model_card
from models.errors import BundleError
from models.examples import Examples
from models.linear import LinearPart
from models.recovery import RecoveryModel, Timing
from models.trees import TreePart
from models.uncertainty import Uncertainty

MANIFEST: Final = "manifest.json"
CARD: Final = "model-card.md"
OWN_FILES: Final = (MANIFEST, CARD, "booster_*.txt")
_TIMING: Final[TypeAdapter[Timing | None]] = TypeAdapter(
    Annotated[Timing, Field(discriminator="kind")] | None
)
_UNCERTAINTY: Final[TypeAdapter[Uncertainty | None]] = TypeAdapter(Uncertainty | None)
_EXAMPLES: Final[TypeAdapter[Examples | None]] = TypeAdapter(Examples | None)


class Provenance(BaseModel):
    """Where a model comes from, enough to make it again.

    Attributes
    ----------
    data_hash : str
        SHA-256 of the portfolio's three files.
    git_commit : str, optional
        Commit of the code; missing outside a checkout. A trailing `+` marks uncommitted changes.
    versions : dict
        Versions of Python, this distribution and the libraries that shape the numbers.
    known_on : str
        Day whose knowledge the labels hold.
    settings : dict
        Settings of the fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_hash: str
    git_commit: str | None
    versions: dict[str, str]
    known_on: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A recovery model with what it was trained on and how well it did out of time.

    Attributes
    ----------
    model : RecoveryModel
        The model.
    portfolio : PortfolioMeta
        Description of the training portfolio: basis, timing, currency and caveats.
    provenance : Provenance
        Lineage.
    accuracy : list of dict
        Rows of the out-of-time table: model, figures.
    caveats : tuple of str
        What training could not tell, and why.
    fairness : list of dict
        Held-out misses by the borrower's age band and region; see `training.fairness`.
    examples : Examples, optional
        Loans to try the model on whenever it is loaded to be relied on. A model without them can
        be scored with, but is neither registered nor served.
    """

    model: RecoveryModel
    portfolio: PortfolioMeta
    provenance: Provenance
    accuracy: list[dict[str, Any]]
    caveats: tuple[str, ...] = ()
    fairness: list[dict[str, Any]] = field(default_factory=list)
    examples: Examples | None = None

    @property
    def notes(self) -> list[str]:
        """Caveats to show beside any figure of this model."""
        notes = list(self.portfolio.notes)
        watched, whole = self.model.ultimate_months, self.portfolio.max_workout_months
        if watched is not None and whole is not None and watched < whole:
            notes.append(
                f"No vintage was watched for longer than {watched} months: recovery_rate is the"
                f" rate by then, not that of a whole workout of {whole} months."
            )
        if self.model.uncertain_months is not None:
            notes.append(
                f"P10, P50, P90, the probability of nothing and the expected shortfall are of the"
                f" rate by month {self.model.uncertain_months}, not of the ultimate."
            )
        return [*notes, *self.caveats]

    @cached_property
    def version(self) -> str:
        """First 16 digits of the SHA-256 of the content: the same content, the same version."""
        return _content_hash(_document(self)[0])[:16]


def _document(bundle: Bundle) -> tuple[dict[str, Any], dict[str, str]]:
    model = bundle.model
    texts = {f"booster_{n:02d}.txt": text for n, text in enumerate(model.trees.texts)}
    manifest = {
        "format": 1,
        "spec": model.spec.model_dump(mode="json"),
        "spec_hash": model.spec.hash,
        "formula_hash": formula_hash(model.spec),
        "link": model.link,
        "level": model.level,
        "linear": model.linear.model_dump(mode="json"),
        "linear_weight": model.linear_weight,
        "tree_weight": model.tree_weight,
        "timing": _dumped(model.timing),
        "uncertainty": _dumped(model.uncertainty),
        "portfolio": bundle.portfolio.model_dump(mode="json"),
        "provenance": bundle.provenance.model_dump(mode="json"),
        "accuracy": bundle.accuracy,
        "caveats": list(bundle.caveats),
        "fairness": bundle.fairness,
        "examples": _dumped(bundle.examples),
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
    }
    return manifest, texts


def _dumped(part: BaseModel | None) -> dict[str, Any] | None:
    return None if part is None else part.model_dump(mode="json")


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle whole or not at all; an older bundle of that name is replaced.

    Raises
    ------
    BundleError
        When `folder` exists and is no bundle.
    """
    with replacing_folder(folder, OWN_FILES, "model bundle", BundleError) as aside:
        manifest, texts = _document(bundle)
        for name, text in texts.items():
            (aside / name).write_text(text, encoding="utf-8", newline="\n")
        (aside / CARD).write_text(model_card(bundle), encoding="utf-8", newline="\n")
        sealed = manifest | {"content_hash": _content_hash(manifest)}
        (aside / MANIFEST).write_text(
            json.dumps(sealed, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
            encoding="utf-8",
        )


def _content_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 of a manifest, which holds the hashes of the boosters' texts."""
    document = json.dumps(manifest, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(document.encode()).hexdigest()


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check every part of it.

    Raises
    ------
    BundleError
        When a file is missing or altered, or the features this code makes are not those the model
        was trained on.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{folder}: no {MANIFEST} there; give the folder that 'npl train --out' wrote"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest.pop("content_hash") != _content_hash(manifest):
            raise BundleError(f"{path}: altered since training; restore it or train again")
        texts = tuple(_checked_text(folder, n, h) for n, h in sorted(manifest["files"].items()))
        spec = FeatureSpec.model_validate(manifest["spec"])
        model = RecoveryModel(
            spec=spec,
            link=manifest["link"],
            level=manifest["level"],
            linear=LinearPart.model_validate(manifest["linear"]),
            linear_weight=manifest["linear_weight"],
            trees=TreePart(texts),
            tree_weight=manifest["tree_weight"],
            timing=_TIMING.validate_python(manifest["timing"]),
            uncertainty=_UNCERTAINTY.validate_python(manifest["uncertainty"]),
        )
        bundle = Bundle(
            model=model,
            portfolio=PortfolioMeta.model_validate(manifest["portfolio"]),
            provenance=Provenance.model_validate(manifest["provenance"]),
            accuracy=manifest["accuracy"],
            caveats=tuple(manifest["caveats"]),
            fairness=manifest["fairness"],
            examples=_EXAMPLES.validate_python(manifest["examples"]),
        )
        hashes = manifest["spec_hash"], manifest["formula_hash"]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise BundleError(f"{path}: not a readable manifest ({first}); train again") from error
    if hashes != (spec.hash, formula_hash(spec)):
        raise BundleError(
            f"{folder}: the model was trained on other features than this version makes"
            " (specification or formula hash differs); use the version that trained it, or train"
            " again"
        )
    return bundle


def _checked_text(folder: Path, name: str, expected: str) -> str:
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / name}: cannot be read; train again") from error
    if hashlib.sha256(text.encode()).hexdigest() != expected:
        raise BundleError(f"{folder / name}: altered since training; restore it or train again")
    return text
