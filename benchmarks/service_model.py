"""A small model and loans for the benchmarks of the service."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from features.check import check_portfolio
from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from models.bundle import Bundle, Provenance, write_bundle
from training.dataset import training_set
from training.examples import with_typical_examples
from training.fit import fit_recovery
from training.settings import FitSettings
from training.train import versions
from training.uncertainty_fit import fit_uncertainty


def small_model(folder: Path, loans: int = 6_000) -> tuple[Path, pl.DataFrame]:
    """Bundle trained on simulated loans with fixed settings, and 1,000 of them to value."""
    simulate(folder / "portfolio", loans, 7)
    portfolio = check_portfolio(read_portfolio(folder / "portfolio")).portfolio
    data, settings = training_set(portfolio), FitSettings("shallow", 0.5)
    uncertainty, _ = fit_uncertainty(data, settings, "cut_off_date")
    model = replace(fit_recovery(data, settings), uncertainty=uncertainty)
    provenance = Provenance(
        data_hash="0" * 64, git_commit=None, versions=versions(), known_on="2025-01-01", settings={}
    )
    bundle = with_typical_examples(Bundle(model, portfolio.meta, provenance, []), portfolio)
    write_bundle(folder / "bundle", bundle)
    tape = portfolio.tape.head(1_000).drop("closed_date", "disposal_status").collect()
    return folder / "bundle", tape
