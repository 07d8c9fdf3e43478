"""Names of models: folders, aliases and versions are told apart, and what is unclear is refused."""

from pathlib import Path

import pytest

from models.errors import RegistryError
from models.reference import ModelReference, named_model, registered


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("bundle", Path("bundle")),
        ("3", Path("3")),
        ("champion", ModelReference("npl-recovery", None, "champion")),
        ("models:/cards/12", ModelReference("cards", 12, None)),
        ("models:/npl-recovery@challenger", ModelReference("npl-recovery", None, "challenger")),
    ],
)
def test_a_name_means_one_thing(text: str, meant: object) -> None:
    assert named_model(text) == meant


@pytest.mark.parametrize(
    "text", ["models:/npl-recovery", "models:/x/0", "models:/x/3a", "models:/@a"]
)
def test_a_malformed_name_is_told_how_to_be_written(text: str) -> None:
    with pytest.raises(RegistryError, match="npl-recovery/3"):
        named_model(text)


def test_a_folder_named_like_an_alias_is_not_guessed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("challenger").mkdir()
    with pytest.raises(RegistryError, match=r"\./challenger.*models:/npl-recovery@challenger"):
        named_model("challenger")
    assert named_model("./challenger") == Path("challenger")
    assert named_model("champion") == ModelReference("npl-recovery", None, "champion")


def test_a_version_is_given_by_number_or_alias() -> None:
    assert str(registered("3", "cards")) == "models:/cards/3"
    with pytest.raises(RegistryError, match="'newest one' is no version"):
        registered("newest one")
