"""The card says what the bundle holds, and nothing about what it does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.portfolio import Portfolio
from models.bundle import CARD, Bundle, Provenance, write_bundle
from models.card import model_card
from models.recovery import RecoveryModel

ACCURACY = [
    {
        **{"model": "npl-recovery", "loans": 1234, "r2": 0.31, "mae": 0.1, "rmse": 0.2},
        **{"spearman": None, "deviation": -0.051},
        **{"held_out_from": "2021-01-01", "horizon_months": 24},
    }
]
FAIRNESS = [
    {
        **{"dimension": "borrower_age", "level": "under 30", "loans": 600},
        **{"forecast_rate": 0.3, "actual_rate": 0.2, "difference": -0.1, "standard_error": 0.01},
    },
    {
        **{"dimension": "region", "level": "CN-GD", "loans": 51},
        **{"forecast_rate": 0.3, "actual_rate": 0.29, "difference": -0.01, "standard_error": 0.02},
    },
]


@pytest.fixture
def bundle(dated_model: RecoveryModel, simulated: Portfolio) -> Bundle:
    return Bundle(
        model=dated_model,
        portfolio=simulated.meta,
        provenance=Provenance(
            data_hash="ab" * 32, git_commit="c" * 40, versions={"polars": "2.1"},
            known_on="2024-12-31", settings={},
        ),
        accuracy=ACCURACY,
        caveats=("No interval for a package's total: too few vintages.",),
        fairness=FAIRNESS,
    )  # fmt: skip


def test_figures_of_the_run_are_on_the_card(bundle: Bundle) -> None:
    card = model_card(bundle)
    assert f"version {bundle.version}" in card
    assert "1,234 loans of vintages from 2021-01-01, rate by month 24." in card
    assert "| npl-recovery | 0.3100 | 0.1000 | 0.2000 | – | -5.1% |" in card
    assert "| borrower age | under 30 | 600 | 0.300 | 0.200 | -0.100 * | 0.010 |" in card
    assert "| region | CN-GD | 51 | 0.300 | 0.290 | -0.010 | 0.020 |" in card
    assert "`loan_to_value` (no higher as it rises)" in card
    assert "development pattern by segment, months 6, 12, 24, 36, 48, 60" in card
    assert "- No interval for a package's total: too few vintages." in card
    assert "`" + "ab" * 32 + "`" in card
    assert "Not for:" in card


def test_what_is_not_known_is_said_to_be_so(bundle: Bundle) -> None:
    bare = replace(
        bundle, model=replace(bundle.model, timing=None), accuracy=[], fairness=[], caveats=()
    )
    card = model_card(bare)
    assert "Not judged." in card
    assert "The data carry neither." in card
    assert "not told, outcomes are undated" in card
    assert "How sure: not told" in card


def test_the_card_lies_in_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", bundle)
    assert (tmp_path / "b" / CARD).read_text(encoding="utf-8") == model_card(bundle)
