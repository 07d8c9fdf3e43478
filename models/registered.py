"""What is known of a registered version: its content, where it comes from, what became of it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from models.errors import RegistryError
from models.reference import ModelReference

# Tags of a version, its MLflow model and its run, alike.
LINEAGE_TAGS: Final = (
    "bundle_version",
    "data_hash",
    "spec_hash",
    "formula_hash",
    "git_commit",
    "portfolio",
)


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model and where it comes from.

    Attributes
    ----------
    name : str
        Registered model.
    version : int
        Its number, from 1.
    aliases : tuple of str
        `champion`, `challenger`, or none.
    bundle_version, data_hash, spec_hash, formula_hash : str
        Content of the bundle, the portfolio's three files, and the features it was trained on.
    git_commit : str
        Commit of the code; empty where it was not known.
    portfolio : str
        Name of the training portfolio.
    run_id : str
        MLflow run that made it.
    registered_at : str
        Time, UTC.
    promoted_at : str
        Last time it was to be made champion, UTC; empty for never. Written before the alias: a
        champion always bears its own.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    bundle_version: str
    data_hash: str
    spec_hash: str
    formula_hash: str
    git_commit: str
    portfolio: str
    run_id: str
    registered_at: str
    promoted_at: str

    @classmethod
    def of(cls, version: Any, model: Any) -> Self:
        """What MLflow's `ModelVersion` and `RegisteredModel` tell.

        Raises
        ------
        RegistryError
            When the version is no bundle of this program.
        """
        number, tags = int(version.version), version.tags
        if "bundle_version" not in tags:
            raise RegistryError(
                f"{version.name} {number} is no bundle of this program: somebody registered it by"
                " other means; delete that version, or use another --name"
            )
        registered = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        return cls(
            name=version.name,
            version=number,
            aliases=tuple(sorted(alias for alias, v in model.aliases.items() if int(v) == number)),
            run_id=version.run_id or "",
            registered_at=registered.isoformat(timespec="seconds"),
            promoted_at=tags.get("promoted_at", ""),
            **{name: tags.get(name, "") for name in LINEAGE_TAGS},
        )

    @property
    def reference(self) -> ModelReference:
        """The version by its number."""
        return ModelReference(self.name, self.version, None)

    def as_document(self) -> dict[str, Any]:
        """The version as plain values."""
        return asdict(self) | {"aliases": list(self.aliases)}


@dataclass(frozen=True)
class Lineage:
    """A version, and what its run tells.

    Attributes
    ----------
    of : RegisteredVersion
        The version.
    run_name, run_status : str
        The run that made it.
    parameters : dict of str to str
        What the run was given.
    metrics : dict of str to float
        What it measured.
    former_champions : tuple of int
        Champions before the present one, the latest last.
    """

    of: RegisteredVersion
    run_name: str
    run_status: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    former_champions: tuple[int, ...]
