"""The model a verb is to work with, by the name the user gave it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.bundle import Bundle


def chosen_bundle(name: str) -> "Bundle":
    """Bundle of a folder, or of the registered version that a name means.

    MLflow is loaded only for the latter: it takes seconds.

    Raises
    ------
    BundleError, RegistryError, StoreError
        When it is not there, damaged, or made for other features.
    """
    from models.bundle import read_bundle
    from models.reference import named_model

    model = named_model(name)
    if isinstance(model, Path):
        return read_bundle(model)
    from models import registry
    from models.mlflow_store import Store

    return registry.load(Store.of_environment(), model)
