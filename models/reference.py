"""How a model is named: a bundle folder, an alias, or MLflow's own `models:/` form."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import RegistryError

DEFAULT_NAME: Final = "npl-recovery"
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
ALIASES: Final = (CHAMPION, CHALLENGER)
PREFIX: Final = "models:/"
_URI: Final = re.compile(
    rf"{PREFIX}(?P<name>[^/@]+)(?:/(?P<version>[1-9]\d*)|@(?P<alias>[A-Za-z][\w-]*))"
)


@dataclass(frozen=True)
class ModelReference:
    """One version of a registered model, by `version` or by `alias`: the other is None."""

    name: str
    version: int | None
    alias: str | None

    def __str__(self) -> str:
        which = f"/{self.version}" if self.alias is None else f"@{self.alias}"
        return f"{PREFIX}{self.name}{which}"


def registered(which: str, name: str = DEFAULT_NAME) -> ModelReference:
    """Version of a registered model by its number or alias.

    Raises
    ------
    RegistryError
        When `which` is neither.

    Examples
    --------
    >>> str(registered("3")), str(registered("champion"))
    ('models:/npl-recovery/3', 'models:/npl-recovery@champion')
    """
    try:
        return _parsed(f"{PREFIX}{name}/{which}" if which.isdigit() else f"{PREFIX}{name}@{which}")
    except RegistryError as error:
        raise RegistryError(
            f"{which!r} is no version of {name}: give its number, {CHAMPION} or {CHALLENGER}"
        ) from error


def named_model(text: str) -> Path | ModelReference:
    """What a model's name on the command line means.

    `champion` and `challenger` are those of the default registered model; `models:/NAME/3` and
    `models:/NAME@champion` are versions of any; everything else is a bundle folder.

    Raises
    ------
    RegistryError
        When an alias is a folder's name too, or a `models:/` form is malformed.

    Examples
    --------
    >>> str(named_model("models:/cards@challenger"))
    'models:/cards@challenger'
    >>> named_model("bundles/2025-06").name
    '2025-06'
    """
    if text.startswith(PREFIX):
        return _parsed(text)
    if text not in ALIASES:
        return Path(text)
    reference = ModelReference(DEFAULT_NAME, None, text)
    if Path(text).exists():
        raise RegistryError(
            f"{text!r} is a registered model's alias and a folder here: write ./{text} for the"
            f" folder, {reference} for the registered model"
        )
    return reference


def _parsed(uri: str) -> ModelReference:
    found = _URI.fullmatch(uri)
    if found is None:
        raise RegistryError(
            f"{uri!r} names no version: write {PREFIX}{DEFAULT_NAME}/3 for a version,"
            f" {PREFIX}{DEFAULT_NAME}@{CHAMPION} for an alias"
        )
    version = found["version"]
    return ModelReference(found["name"], int(version) if version else None, found["alias"])
