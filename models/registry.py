"""Registered models: versions with a champion and a challenger, kept in MLflow.

A version is a bundle with its lineage in tags. It is a plain MLflow model too, without pickle:
`mlflow models serve` and `mlflow.pyfunc.load_model` run `models/pyfunc_model.py` on it.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Final

import polars as pl

from features.pipeline import formula_hash
from features.spec import FeatureSpec
from features.tape import Tape
from models.bundle import Bundle, read_bundle
from models.errors import RegistryError, StoreError
from models.example_scores import examples_of, require_same_figures
from models.mlflow_store import Store
from models.reference import CHALLENGER, CHAMPION, DEFAULT_NAME, ModelReference
from models.registered import Lineage, RegisteredVersion
from models.request import check_bare_tape
from models.scoring import score_loans

# isort: split
# After `models.mlflow_store`, which sets what MLflow reads while it is imported.
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema
from sqlalchemy.exc import SQLAlchemyError

_BUNDLE: Final = "bundle"
_CODE: Final = Path(__file__).with_name("pyfunc_model.py")
# What must be installed beside it to load the model: this distribution and what it computes with.
_REQUIREMENTS: Final = ("npl-recovery", "lightgbm", "mlflow", "numpy", "pandas", "polars", "scipy")
_HISTORY: Final = "former_champions"
_KEPT_CHAMPIONS: Final = 100
_NOT_THERE: Final = "RESOURCE_DOES_NOT_EXIST"


@contextmanager
def answering(store: Store) -> Iterator[MlflowClient]:
    """A client of a store whose failures are told as this package's errors.

    Raises
    ------
    StoreError
        When the store cannot be reached, read or written.
    RegistryError
        When what was asked for is not there.
    """
    try:
        yield MlflowClient(store.uri, store.uri)
    except MlflowException as error:
        told = store.without_password(str(error)).strip().splitlines()[0]
        if error.error_code == _NOT_THERE:
            raise RegistryError(
                f"{store.shown}: {told}; 'npl models list' tells what is"
            ) from error
        raise StoreError(f"MLflow store {store.shown}: {told}") from error
    # MLflow lets through what its database tells as it opens it.
    except SQLAlchemyError as error:
        told = str(error).strip().splitlines()[0]
        raise StoreError(f"MLflow store {store.shown}: {told}") from error


def register(
    store: Store, folder: Path, run_id: str, name: str = DEFAULT_NAME
) -> RegisteredVersion:
    """Register a bundle as the next version of a model.

    The first version ever becomes champion, every later one challenger: to promote is a decision.

    Parameters
    ----------
    store : Store
        Where to.
    folder : Path
        The bundle; all of it is checked first.
    run_id : str
        Run that made it; see `training.tracking`.
    name : str
        Registered model.

    Raises
    ------
    BundleError
        When the folder is no sound bundle, or its model does not say of its examples what it said
        when it was trained.
    StoreError, RegistryError
        As `answering`.
    """
    bundle = read_bundle(folder)
    require_same_figures(bundle)
    with answering(store) as client:
        try:
            client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != _NOT_THERE:
                raise
            client.create_registered_model(
                name, description="Recovery forecasts of non-performing loans; see `npl models`."
            )
        first = not client.search_model_versions(f"name = '{name}'", max_results=1)
        location, model_id = _log_model(client, folder, bundle, run_id)
        made = client.create_model_version(
            name,
            source=location,
            run_id=run_id,
            model_id=model_id,
            tags=_tags(bundle) | {"model_id": model_id},
            description=f"{bundle.portfolio.name}, bundle {bundle.version}",
        )
        if first:
            client.set_model_version_tag(name, made.version, "promoted_at", _now())
        client.set_registered_model_alias(name, CHAMPION if first else CHALLENGER, made.version)
        return _version(client, ModelReference(name, int(made.version), None))


def _tags(bundle: Bundle) -> dict[str, str]:
    return {
        "bundle_version": bundle.version,
        "data_hash": bundle.provenance.data_hash,
        "spec_hash": bundle.model.spec.hash,
        "formula_hash": formula_hash(bundle.model.spec),
        "git_commit": bundle.provenance.git_commit or "",
        "portfolio": bundle.portfolio.name,
    }


def _log_model(client: MlflowClient, folder: Path, bundle: Bundle, run_id: str) -> tuple[str, str]:
    """Log the bundle as an MLflow model of its run; its location and identifier."""
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(
        experiment, _BUNDLE, source_run_id=run_id, tags=_tags(bundle), model_type="npl-recovery"
    )
    with tempfile.TemporaryDirectory() as scratch:
        # Artifacts bear the name of their folder: always the same one.
        shutil.copytree(folder, Path(scratch, _BUNDLE))
        files = Path(scratch, "model")
        save_model(
            files,
            python_model=_CODE,
            artifacts={_BUNDLE: str(Path(scratch, _BUNDLE))},
            signature=_signature(bundle),
            input_example=pd.DataFrame(examples_of(bundle).loans).astype(object),
            pip_requirements=[f"{package}=={installed(package)}" for package in _REQUIREMENTS],
            mlflow_model=Model(
                artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id
            ),
        )
        client.log_model_artifacts(logged.model_id, str(files))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.artifact_location), str(logged.model_id)


def _signature(bundle: Bundle) -> ModelSignature:
    """Names of the columns, and which are needed.

    Their types are left to the check. MLflow's own conversion makes a missing flag False, and
    refuses the whole request for one bad value where the check sets one row aside.
    """
    anything = AnyType()  # type: ignore[no-untyped-call]
    columns = _tape_columns(bundle.model.spec).items()
    return ModelSignature(
        inputs=Schema([ColSpec(anything, name, required=needed) for name, needed in columns]),
        outputs=Schema(
            [ColSpec(_output_type(dtype), name) for name, dtype in _scored_example(bundle).items()]
        ),
    )


def _tape_columns(spec: FeatureSpec) -> dict[str, bool]:
    """Columns of a tape in order, and whether scoring needs them.

    Needed are the schema's required fields and the extra fields of the model. The check asks for
    more under conditions that span fields (an age, an exposure, what a secured loan needs) and
    tells that row by row.
    """
    canonical = {name: not column.nullable for name, column in Tape.columns().items()}
    return canonical | {extra.name: True for extra in spec.extra_fields}


def _scored_example(bundle: Bundle) -> pl.Schema:
    """Columns of a scored row of this model, found by scoring one."""
    tape = pl.LazyFrame(examples_of(bundle).loans[:1])
    checked = check_bare_tape(tape, bundle, "example")
    return checked.complete(score_loans(bundle.model, checked.tape, checked.ledger)).schema


def _output_type(dtype: pl.DataType) -> DataType:
    return DataType.double if dtype.is_float() else DataType.string


def versions(
    store: Store, name: str = DEFAULT_NAME, data_hash: str = ""
) -> list[RegisteredVersion]:
    """Versions of a model, the newest first; with `data_hash`, those trained on that data.

    Parameters
    ----------
    store : Store
        Where they are kept.
    name : str
        Registered model.
    data_hash : str
        The hash, or the beginning of it.

    Raises
    ------
    StoreError, RegistryError
        As `answering`.
    """
    store.require()
    with answering(store) as client:
        model = client.get_registered_model(name)
        found: list[ModelVersion] = []
        token: str | None = None
        while token is None or token:
            page = client.search_model_versions(f"name = '{name}'", page_token=token)
            found += page
            token = page.token or ""
        told = [RegisteredVersion.of(version, model) for version in found]
    newest_first = sorted(told, key=lambda version: version.version, reverse=True)
    return [version for version in newest_first if version.data_hash.startswith(data_hash)]


def show(store: Store, reference: ModelReference) -> Lineage:
    """One version with the parameters and metrics of the run that made it.

    Raises
    ------
    StoreError, RegistryError
        As `answering`.
    """
    store.require()
    with answering(store) as client:
        found = _find(client, reference)
        model = client.get_registered_model(found.name)
        version = RegisteredVersion.of(found, model)
        run = client.get_run(version.run_id)
        return Lineage(
            of=version,
            run_name=run.info.run_name,
            run_status=run.info.status,
            parameters=dict(sorted(run.data.params.items())),
            metrics=dict(sorted(run.data.metrics.items())),
            former_champions=_former(model),
        )


def promote(store: Store, reference: ModelReference) -> RegisteredVersion:
    """Make a version champion; the former one is remembered for `rollback`.

    Raises
    ------
    BundleError
        When the version cannot be loaded by this code, or does not say of its examples what it
        said when it was trained: a champion always can, and does.
    RegistryError
        When it is champion already.
    StoreError
        As `answering`.
    """
    require_same_figures(load(store, reference))
    with answering(store) as client:
        version = _version(client, reference)
        model = client.get_registered_model(version.name)
        former = _alias(model, CHAMPION)
        if former == version.version:
            raise RegistryError(f"{version.name} {former} is the champion already")
        kept = _former(model) if former is None else (*_former(model), former)
        _crown(client, version, kept)
        return _version(client, version.reference)


def rollback(store: Store, name: str = DEFAULT_NAME, of: int | None = None) -> RegisteredVersion:
    """Make the former champion the champion again.

    Parameters
    ----------
    store : Store
        Where they are kept.
    name : str
        Registered model.
    of : int, optional
        Only while this version is the champion: who decided by its forecasts does not undo what was
        decided since.

    Raises
    ------
    BundleError
        When the former champion cannot be loaded by this code, or says something else than once.
    RegistryError
        When there was none before the present one, or another is champion than `of`.
    StoreError
        As `answering`.
    """
    store.require()
    with answering(store) as client:
        model = client.get_registered_model(name)
        present = _alias(model, CHAMPION)
        if of not in (None, present):
            raise RegistryError(f"{name}: version {present} is the champion, not {of}")
        history = _former(model)
        if not history:
            raise RegistryError(f"{name} has had no champion before version {present}")
    former = ModelReference(name, history[-1], None)
    require_same_figures(load(store, former))
    with answering(store) as client:
        # Loading takes its time: two that go back at once come to the same champion.
        if _alias(client.get_registered_model(name), CHAMPION) not in (present, former.version):
            raise RegistryError(f"{name}: the champion changed while going back; look again")
        _crown(client, _version(client, former), history[:-1])
        return _version(client, former)


def load(store: Store, reference: ModelReference) -> Bundle:
    """Bundle of a version, fetched and checked in every part.

    Raises
    ------
    BundleError
        When it is damaged or made for other features.
    StoreError, RegistryError
        As `answering`.
    """
    store.require()
    with answering(store) as client, tempfile.TemporaryDirectory() as scratch:
        found = _find(client, reference)
        place = client.get_model_version_download_uri(found.name, found.version)
        model = download_artifacts(
            artifact_uri=f"{place}/artifacts/{_BUNDLE}", dst_path=scratch, tracking_uri=store.uri
        )
        return read_bundle(Path(model))


def set_tag(store: Store, reference: ModelReference, key: str, value: str) -> None:
    """Tag a version.

    Raises
    ------
    StoreError, RegistryError
        As `answering`.
    """
    store.require()
    with answering(store) as client:
        found = _find(client, reference)
        client.set_model_version_tag(found.name, found.version, key, value)


def tag(store: Store, reference: ModelReference, key: str) -> str | None:
    """Value of a version's tag; None where it has none of that key.

    Raises
    ------
    StoreError, RegistryError
        As `answering`.
    """
    store.require()
    with answering(store) as client:
        value = _find(client, reference).tags.get(key)
        return None if value is None else str(value)


def _crown(client: MlflowClient, version: RegisteredVersion, history: tuple[int, ...]) -> None:
    # History first: an interrupted promotion then forgets no champion.
    kept = ",".join(map(str, history[-_KEPT_CHAMPIONS:]))
    client.set_registered_model_tag(version.name, _HISTORY, kept)
    # Before the alias: a champion never bears the time of an earlier promotion, by whose first
    # scores it may have been judged.
    client.set_model_version_tag(version.name, str(version.version), "promoted_at", _now())
    client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
    if CHALLENGER in version.aliases:
        client.delete_registered_model_alias(version.name, CHALLENGER)


def _former(model: RegisteredModel) -> tuple[int, ...]:
    """Champions before the present one, the latest last."""
    history = [int(part) for part in model.tags.get(_HISTORY, "").split(",") if part]
    # An interrupted promotion may have written the history and not the alias.
    present = _alias(model, CHAMPION)
    return tuple(version for version in history if version != present)


def _alias(model: RegisteredModel, alias: str) -> int | None:
    version = model.aliases.get(alias)
    return None if version is None else int(version)


def _find(client: MlflowClient, reference: ModelReference) -> ModelVersion:
    if reference.alias is None:
        return client.get_model_version(reference.name, str(reference.version))
    model = client.get_registered_model(reference.name)
    version = _alias(model, reference.alias)
    if version is None:
        told = ", ".join(f"{alias} {v}" for alias, v in sorted(model.aliases.items()))
        raise RegistryError(
            f"{reference.name} has no {reference.alias}; its aliases: {told or 'none'}"
        )
    return client.get_model_version(reference.name, str(version))


def _version(client: MlflowClient, reference: ModelReference) -> RegisteredVersion:
    found = _find(client, reference)
    return RegisteredVersion.of(found, client.get_registered_model(found.name))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
