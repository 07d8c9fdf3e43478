"""Versions, the champion and the way back; the plain MLflow model and its numbers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc.scoring_server import invocations

from features.portfolio import Portfolio
from models import registry
from models.bundle import Bundle, Provenance, write_bundle
from models.errors import BundleError, RegistryError, StoreError
from models.mlflow_store import Store
from models.recovery import RecoveryModel
from models.reference import CHALLENGER, CHAMPION, registered
from models.registered import RegisteredVersion
from models.request import check_bare_tape
from models.scoring import score_loans
from training.examples import with_typical_examples
from training.tracking import tracked_run

Register = Callable[..., RegisteredVersion]


@pytest.fixture
def bundle(dated_model: RecoveryModel, simulated: Portfolio) -> Bundle:
    provenance = Provenance(
        data_hash="d" * 64, git_commit="c" * 40, versions={}, known_on="2024-12-31", settings={}
    )
    return with_typical_examples(Bundle(dated_model, simulated.meta, provenance, []), simulated)


@pytest.fixture
def register(store: Store, bundle: Bundle, simulated: Portfolio, tmp_path: Path) -> Register:
    """Register the bundle with another data hash, in a run with a parameter and a metric."""

    def make(data_hash: str = "d" * 64) -> RegisteredVersion:
        provenance = bundle.provenance.model_copy(update={"data_hash": data_hash})
        folder = tmp_path / f"bundle-{data_hash[:4]}"
        write_bundle(folder, replace(bundle, provenance=provenance))
        with tracked_run("train", simulated, store=store) as run:
            run.parameters({"seed": 7})
            run.metrics({"r2": 0.5})
            return registry.register(store, folder, run.run_id)

    return make


def _signature(folder: Path) -> ModelSignature:
    signature: ModelSignature | None = Model.load(folder).signature
    assert signature is not None
    return signature


def _aliases(store: Store) -> dict[str, int]:
    return {alias: v.version for v in registry.versions(store) for alias in v.aliases}


def test_the_first_version_is_champion_and_promotion_is_explicit(
    store: Store, register: Register
) -> None:
    first, second, third = register("a" * 64), register("b" * 64), register("c" * 64)
    assert (first.aliases, second.version) == ((CHAMPION,), 2)
    assert _aliases(store) == {CHAMPION: 1, CHALLENGER: 3}
    assert registry.promote(store, registered("2")).aliases == (CHAMPION,)
    assert _aliases(store) == {CHAMPION: 2, CHALLENGER: 3}
    registry.promote(store, registered(CHALLENGER))
    assert _aliases(store) == {CHAMPION: 3}
    with pytest.raises(RegistryError, match="champion already"):
        registry.promote(store, third.reference)
    assert registry.show(store, registered("3")).former_champions == (1, 2)
    # Who judged another version undoes nothing.
    with pytest.raises(RegistryError, match="version 3 is the champion, not 2"):
        registry.rollback(store, of=2)
    assert _aliases(store) == {CHAMPION: 3}
    # Back the way it came, champion by champion.
    assert registry.rollback(store).version == 2
    assert registry.rollback(store).version == 1
    with pytest.raises(RegistryError, match="no champion before version 1"):
        registry.rollback(store)


class KilledError(Exception):
    pass


def _killed(*_: object, **__: object) -> None:
    raise KilledError


@pytest.mark.parametrize("step", ["set_model_version_tag", "set_registered_model_alias"])
def test_a_promotion_killed_halfway_leaves_champion_and_way_back(
    store: Store, register: Register, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for letter in "abc":
        register(letter * 64)
    registry.promote(store, registered("2"))
    before = registry.show(store, registered(CHAMPION))
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, step, _killed)
        with pytest.raises(KilledError):
            registry.promote(store, registered("3"))
    # Whoever goes back from version 2 does not come to version 2.
    assert registry.show(store, registered(CHAMPION)) == before
    assert before.former_champions == (1,)
    registry.promote(store, registered("3"))
    assert registry.show(store, registered(CHAMPION)).former_champions == (1, 2)
    assert registry.rollback(store).version == 2


def test_a_champion_never_bears_the_time_of_an_earlier_promotion(
    store: Store, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("a" * 64)
    register("b" * 64)
    first = registry.promote(store, registered("2")).promoted_at
    registry.rollback(store)
    monkeypatch.setattr(registry, "_now", lambda: "2999-01-01T00:00:00+00:00")
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_model_version_tag", _killed)
        with pytest.raises(KilledError):
            registry.promote(store, registered("2"))
    assert _aliases(store)[CHAMPION] == 1
    assert registry.show(store, registered("2")).of.promoted_at == first
    assert registry.promote(store, registered("2")).promoted_at.startswith("2999")


def test_lineage_there_and_back(store: Store, register: Register, bundle: Bundle) -> None:
    register("a" * 64)
    register("ab" * 32)
    told = registry.show(store, registered("2"))
    assert told.of.data_hash == "ab" * 32
    assert told.of.spec_hash == bundle.model.spec.hash
    assert told.of.git_commit == "c" * 40
    assert (told.parameters, told.metrics) == ({"seed": "7"}, {"r2": 0.5})
    assert told.run_name.startswith("train simulated-2000-7")
    loaded = registry.load(store, registered("2"))
    assert (loaded.version, loaded.provenance.data_hash) == (told.of.bundle_version, "ab" * 32)
    for begun, expected in (("a" * 64, [1]), ("ab", [2]), ("a", [2, 1]), ("b", [])):
        assert [v.version for v in registry.versions(store, data_hash=begun)] == expected


def test_what_is_not_there_is_told(store: Store, register: Register, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="npl models list"):
        registry.versions(store)
    register()
    with pytest.raises(RegistryError, match="version=9"):
        registry.load(store, registered("9"))
    with pytest.raises(RegistryError, match="no challenger; its aliases: champion 1"):
        registry.load(store, registered(CHALLENGER))
    with pytest.raises(StoreError, match="npl train"):
        registry.versions(Store.in_folder(tmp_path / "elsewhere"))


def test_an_altered_version_is_neither_loaded_nor_promoted(
    store: Store, register: Register, tmp_path: Path
) -> None:
    register("a" * 64)
    register("b" * 64)
    manifests = (tmp_path / "mlruns").rglob("bundle/manifest.json")
    (altered,) = (path for path in manifests if "b" * 64 in path.read_text())
    altered.write_text(altered.read_text().replace("b" * 64, "e" * 64))
    with pytest.raises(BundleError, match="altered since training"):
        registry.promote(store, registered("2"))
    assert _aliases(store)[CHAMPION] == 1


def test_a_version_that_says_something_else_is_neither_registered_nor_promoted(
    store: Store, register: Register, bundle: Bundle, simulated: Portfolio, tmp_path: Path
) -> None:
    register("a" * 64)
    register("b" * 64)
    other = replace(bundle, model=replace(bundle.model, level=bundle.model.level + 1))
    write_bundle(tmp_path / "other", other)
    with (
        pytest.raises(BundleError, match="of example ex-1 was"),
        tracked_run("train", simulated, store=store) as run,
    ):
        registry.register(store, tmp_path / "other", run.run_id)
    (kept,) = (p.parent for p in (tmp_path / "mlruns").rglob("bundle/manifest.json")
               if "b" * 64 in p.read_text())  # fmt: skip
    write_bundle(kept, other)
    with pytest.raises(BundleError, match="of example ex-1 was"):
        registry.promote(store, registered("2"))
    assert _aliases(store)[CHAMPION] == 1


def test_the_mlflow_model_gives_the_same_numbers_without_pickle(
    store: Store, register: Register, simulated: Portfolio, bundle: Bundle, tmp_path: Path
) -> None:
    register()
    (folder,) = (path.parent for path in (tmp_path / "mlruns").rglob("MLmodel"))
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    assert {"manifest.json", "pyfunc_model.py"} <= files.keys()
    # A pickle begins with this byte, which begins no text.
    assert not [name for name, path in files.items() if path.read_bytes().startswith(b"\x80")]

    tape = simulated.tape.collect().head(40)
    # One bad row and one loan without a flag, which MLflow's own types would turn into False.
    tape = tape.with_columns(
        original_amount=pl.when(pl.int_range(40) == 3).then(-1.0).otherwise("original_amount"),
        written_off=pl.when(pl.int_range(40) == 5).then(None).otherwise("written_off"),
    )
    checked = check_bare_tape(tape.lazy(), bundle, "tape")
    expected = checked.complete(score_loans(bundle.model, checked.tape, checked.ledger)).to_dicts()
    assert sum(row["recovery_rate"] is None for row in expected) == 1

    model = mlflow.pyfunc.load_model(str(folder))
    assert model.predict(tape.to_pandas()).to_dict(orient="records") == expected
    request = json.dumps({"dataframe_records": json.loads(tape.write_json())})
    schema = _signature(folder).inputs
    answer = invocations(  # type: ignore[no-untyped-call]
        request, "application/json", model, schema
    )
    assert json.loads(answer.response, parse_constant=pytest.fail)["predictions"] == expected


def test_mixed_columns_are_read_value_by_value(
    store: Store, register: Register, simulated: Portfolio, tmp_path: Path
) -> None:
    register()
    (folder,) = (path.parent for path in (tmp_path / "mlruns").rglob("MLmodel"))
    rows: list[dict[str, Any]] = json.loads(simulated.tape.head(3).collect().write_json())
    good = mlflow.pyfunc.load_model(str(folder)).predict(rows).to_dict(orient="records")
    rows[1]["original_amount"] = "n/a"
    mixed = mlflow.pyfunc.load_model(str(folder)).predict(rows).to_dict(orient="records")
    assert (mixed[0], mixed[2]) == (good[0], good[2])
    assert "original_amount" in mixed[1]["reason"]


def test_the_signature_names_the_tape_and_the_example_can_be_scored(
    store: Store, register: Register, simulated: Portfolio, bundle: Bundle, tmp_path: Path
) -> None:
    register()
    (folder,) = (path.parent for path in (tmp_path / "mlruns").rglob("MLmodel"))
    signature = _signature(folder)
    inputs = signature.inputs
    assert set(simulated.tape.collect_schema().names()) <= set(inputs.input_names())
    assert "loan_id" in inputs.required_input_names()
    assert "birth_year" not in inputs.required_input_names()
    model = mlflow.pyfunc.load_model(str(folder))
    scored = model.predict(model.input_example)
    assert list(scored.columns) == signature.outputs.input_names()
    assert scored["reason"].isna().all()
    assert bundle.examples is not None
    # A bare tape knows no cash.
    paid = {row["loan_id"] for row in bundle.examples.ledger}
    told = [row for row in scored.to_dict(orient="records") if row["loan_id"] not in paid]
    assert len(told) == len(bundle.examples.loans) - 1
    for row, figures in zip(told, bundle.examples.figures, strict=False):
        assert row["recovery_rate"] == figures["recovery_rate"]
