"""Our import names are ours alone, the wheel holds them only, the lock covers what we declare."""

import contextlib
import json
import re
import tomllib
from importlib import metadata, util
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zipfile import ZipFile

import pytest
from hatchling.build import build_wheel
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
DISTRIBUTION = "npl-recovery"
NOT_SHIPPED = {"benchmarks", "tests"}


def editable_folders(import_name: str) -> dict[str, Path]:
    """Folders of this name that distributions installed in place provide.

    `packages_distributions` reads RECORD, which for an editable install names only a path file;
    where the sources are is in direct_url.json (PEP 610).
    """
    folders: dict[str, Path] = {}
    for distribution in metadata.distributions():
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            folder = Path(url2pathname(urlsplit(origin["url"]).path)) / import_name
            if folder.is_dir():
                folders[canonicalize_name(distribution.name)] = folder.resolve()
    return folders


def requirements_declared() -> list[Requirement]:
    """All that pyproject.toml asks for, each once: at run time, to build and to develop."""
    groups = [entry for group in PYPROJECT["dependency-groups"].values() for entry in group]
    texts = {
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["build-system"]["requires"],
        *(entry for entry in groups if isinstance(entry, str)),
    }
    return [Requirement(text) for text in sorted(texts)]


@pytest.fixture(scope="module")
def lock() -> str:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    with contextlib.chdir(ROOT):
        return ZipFile(folder / build_wheel(str(folder)))


@pytest.mark.parametrize("import_name", PACKAGES)
def test_an_import_name_belongs_to_our_distribution_alone(import_name: str) -> None:
    spec = util.find_spec(import_name)
    assert spec is not None, f"{import_name} is not importable: run make install"
    assert spec.origin is not None, f"{import_name} has no __init__.py"
    imported_from = Path(spec.origin).resolve().parent

    from_wheels = {canonicalize_name(n) for n in packages_distributions().get(import_name, [])}
    in_place = editable_folders(import_name)

    assert from_wheels | in_place.keys() == {DISTRIBUTION}
    installed = Path(str(metadata.distribution(DISTRIBUTION).locate_file(import_name))).resolve()
    assert imported_from == in_place.get(DISTRIBUTION, installed)


def test_every_package_at_the_root_is_shipped_linted_and_under_contract() -> None:
    at_the_root = {path.parent.name for path in ROOT.glob("*/__init__.py")} - NOT_SHIPPED
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    in_makefile = re.search(r"^PACKAGES := (.+)$", makefile, re.MULTILINE)

    assert set(PACKAGES) == at_the_root
    assert in_makefile is not None
    assert set(in_makefile[1].split()) == at_the_root
    assert set(PYPROJECT["tool"]["importlinter"]["root_packages"]) == at_the_root


def test_the_wheel_holds_every_file_of_our_packages_and_no_other(wheel: ZipFile) -> None:
    on_disk = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    metadata_folder = f"npl_recovery-{PYPROJECT['project']['version']}.dist-info/"
    in_wheel = {name for name in wheel.namelist() if not name.startswith(metadata_folder)}

    assert in_wheel == on_disk


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_says_that_a_package_is_typed(package: str, wheel: ZipFile) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_the_wheel_installs_the_command(wheel: ZipFile) -> None:
    (entry_points,) = (n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt"))
    assert wheel.read(entry_points).decode() == "[console_scripts]\nnpl = cli.main:main\n"


def test_the_lock_names_no_index_and_no_address(lock: str) -> None:
    assert not re.search(r"://|https?:|^\s*-", lock.replace("    --hash=sha256:", ""), re.MULTILINE)


def test_every_pin_in_the_lock_has_a_hash(lock: str) -> None:
    pins = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(pins) > len(requirements_declared()) / 2
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


@pytest.mark.parametrize("requirement", requirements_declared(), ids=str)
def test_the_lock_pins_what_is_declared(requirement: Requirement, lock: str) -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    assert pins.get(canonicalize_name(requirement.name), "") in requirement.specifier
