import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.main import main
from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from models.bundle import Bundle, Provenance, write_bundle
from models.mlflow_store import URI_VARIABLE, Store
from training.dataset import training_set
from training.examples import with_typical_examples
from training.fit import fit_recovery
from training.settings import FitSettings
from training.train import data_hash, versions


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Npl = Callable[..., Ran]


@pytest.fixture
def npl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Npl:
    """Run `npl` as a shell would, and give its exit code and what it wrote.

    What it tracks stays in the test's own folder; with the fixture `store` that is quick.
    """
    if URI_VARIABLE not in os.environ:
        monkeypatch.setenv(URI_VARIABLE, Store.in_folder(tmp_path / "mlruns").uri)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["npl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ran(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A simulated portfolio of 1,500 loans and a bundle trained on it with fixed settings."""
    folder = tmp_path_factory.mktemp("trained")
    simulate(folder / "portfolio", 1_500, 11)
    portfolio = read_portfolio(folder / "portfolio")
    settings = FitSettings("shallow", 0.5)
    provenance = Provenance(
        data_hash=data_hash(portfolio),
        git_commit=None,
        versions=versions(),
        known_on=portfolio.meta.observed_until_date.isoformat(),
        settings=settings.as_document(),
    )
    model = fit_recovery(training_set(portfolio), settings)
    bundle = with_typical_examples(Bundle(model, portfolio.meta, provenance, []), portfolio)
    write_bundle(folder / "bundle", bundle)
    return folder / "portfolio", folder / "bundle"
