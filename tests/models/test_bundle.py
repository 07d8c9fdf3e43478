"""Bundles: what is read predicts to the bit what was written; whatever is wrong is refused."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features import pipeline
from features.portfolio import Portfolio, PortfolioMeta
from models.bundle import CARD, MANIFEST, Bundle, Provenance, read_bundle, write_bundle
from models.errors import BundleError
from models.recovery import RecoveryModel

META = PortfolioMeta(
    name="worked by hand",
    source_system="synthetic",
    currency="CNY",
    observed_until_date=date(2024, 12, 31),
    recovery_basis="claim",
    recovery_timing="monthly",
    max_workout_months=60,
    notes=("附注",),
)
PROVENANCE = Provenance(
    data_hash="0" * 64,
    git_commit=None,
    versions={"python": "3.11"},
    known_on="2024-12-31",
    settings={"trees": "shallow", "linear_weight": 0.5},
)


@pytest.fixture
def bundle(dated_model: RecoveryModel) -> Bundle:
    return Bundle(dated_model, META, PROVENANCE, [{"model": "npl-recovery", "r2": 0.1 + 0.2}])


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", bundle)
    return tmp_path / "bundle"


def test_what_is_read_predicts_to_the_bit_what_was_written(
    bundle: Bundle, folder: Path, simulated: Portfolio
) -> None:
    again = read_bundle(folder)
    features = pipeline.build_features(
        simulated.tape.head(300), simulated.ledger, bundle.model.spec
    ).collect()
    for ask in (RecoveryModel.recovery_curve, RecoveryModel.recovery_rate):
        assert ask(again.model, features).tobytes() == ask(bundle.model, features).tobytes()
    why, before = again.model.contributions(features), bundle.model.contributions(features)
    assert why.rate_points.tobytes() == before.rate_points.tobytes()
    assert again == bundle
    assert again.version == bundle.version


def test_nothing_in_a_bundle_can_run(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == [*(f"booster_{n:02d}.txt" for n in range(len(names) - 2)), MANIFEST, CARD]
    for path in folder.iterdir():
        path.read_text(encoding="utf-8")
        assert not path.read_bytes().startswith(b"\x80")  # how every pickle since protocol 2 begins
    json.loads((folder / MANIFEST).read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_the_same_content_has_the_same_version_and_bytes(bundle: Bundle, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bundle(
            tmp_path / name, replace(bundle, accuracy=[dict(row) for row in bundle.accuracy])
        )
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert len(bundle.version) == 16


@pytest.mark.parametrize("what", ["level", "provenance", "accuracy", "trees"])
def test_other_content_has_another_version(bundle: Bundle, what: str) -> None:
    model = bundle.model
    others = {
        "level": replace(bundle, model=replace(model, level=model.level + 1e-12)),
        "provenance": replace(bundle, provenance=PROVENANCE.model_copy(update={"known_on": "x"})),
        "accuracy": replace(bundle, accuracy=[]),
        "trees": replace(
            bundle, model=replace(model, trees=replace(model.trees, texts=model.trees.texts[:-1]))
        ),
    }
    assert others[what].version != bundle.version


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del manifest["content_hash"]
    change(manifest)
    # Sealed anew, as whoever writes such a manifest would: what is left is its content.
    content = json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()
    manifest["content_hash"] = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_an_altered_manifest_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["level"] += 1e-9
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json: altered since training"):
        read_bundle(folder)


def test_an_altered_booster_is_refused(folder: Path) -> None:
    path = folder / "booster_01.txt"
    path.write_text(path.read_text().replace("leaf_value=", "leaf_value=0", 1))
    with pytest.raises(BundleError, match=r"booster_01\.txt: altered since training"):
        read_bundle(folder)


def test_a_missing_booster_is_refused(folder: Path) -> None:
    (folder / "booster_00.txt").unlink()
    with pytest.raises(BundleError, match=r"booster_00\.txt: cannot be read"):
        read_bundle(folder)


def test_a_folder_without_a_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"no manifest\.json there"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("level"),
        lambda manifest: manifest["spec"].update(definitions="all"),
        lambda manifest: manifest["linear"].update(intercept="much"),
        lambda manifest: manifest["provenance"].update(author="me"),
    ],
    ids=["no level", "spec", "linear", "provenance"],
)
def test_an_unreadable_manifest_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edited(folder, change)
    with pytest.raises(BundleError, match="not a readable manifest"):
        read_bundle(folder)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="not a readable manifest"):
        read_bundle(folder)


def test_a_changed_specification_is_refused(folder: Path) -> None:
    edited(folder, lambda manifest: manifest["spec"]["definitions"][0].update(unit="furlong"))
    with pytest.raises(BundleError, match="other features"):
        read_bundle(folder)


def test_changed_formulas_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline.CANONICAL[0]
    other = replace(first, expression=first.expression.reverse())
    monkeypatch.setattr(pipeline, "CANONICAL", (other, *pipeline.CANONICAL[1:]))
    with pytest.raises(BundleError, match="other features"):
        read_bundle(folder)


def test_many_may_read_at_once(bundle: Bundle, folder: Path) -> None:
    with ThreadPoolExecutor(8) as readers:
        read = list(readers.map(read_bundle, [folder] * 32))
    assert {each.version for each in read} == {bundle.version}


def test_a_bundle_replaces_only_a_bundle(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    write_bundle(folder, replace(bundle, accuracy=[]))
    assert read_bundle(folder).accuracy == []
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("years of work")
    for other in ("thesis", "file"):
        with pytest.raises(BundleError, match="exists and is no model bundle"):
            write_bundle(tmp_path / other, bundle)
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "years of work"


def test_a_crash_while_writing_leaves_the_old_bundle(
    bundle: Bundle, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", disk_full)
    with pytest.raises(OSError, match="no space"):
        write_bundle(folder, replace(bundle, accuracy=[]))
    monkeypatch.undo()
    assert read_bundle(folder).version == bundle.version
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_undated_models_survive_the_round_trip(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame, tmp_path: Path, bundle: Bundle
) -> None:
    # The toy's features are none of the pipeline's: only those of extra fields and formulas matter.
    model = replace(bundle.model, link="identity", timing=None)
    write_bundle(tmp_path / "undated", replace(bundle, model=model))
    again = read_bundle(tmp_path / "undated").model
    assert again == model
    assert again.recovery_curve(frame).shape == (500, 0)
    assert np.isfinite(toy().recovery_rate(frame)).all()
