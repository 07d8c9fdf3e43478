"""Fairness rows by hand: every loan in one level of each dimension, thin levels together."""

from collections.abc import Callable

import numpy as np
import pytest

from training.dataset import TrainingSet
from training.fairness import fairness_rows


def test_every_loan_stands_once_in_each_dimension(set_of: Callable[..., TrainingSet]) -> None:
    ages = [25.0] * 60 + [30.0] * 60 + [None] * 60 + [65.0] * 20
    regions = ["CN-GD"] * 100 + ["CN-BJ"] * 70 + ["CN-XZ"] * 30
    data = set_of({"borrower_age_years": ages, "region": regions}, np.zeros(200))
    forecast = np.full(200, 0.3)
    actual = np.where(np.arange(200) < 60, 0.1, 0.3) + np.tile([0.05, -0.05], 100)
    rows = fairness_rows(data, forecast, actual)
    found = {(row["dimension"], row["level"]): row for row in rows}
    assert {key: row["loans"] for key, row in found.items()} == {
        ("borrower_age", "under 30"): 60,
        ("borrower_age", "30 to 39"): 60,
        ("borrower_age", "not stated"): 60,
        ("borrower_age", "thin levels"): 20,
        ("region", "CN-GD"): 100,
        ("region", "CN-BJ"): 70,
        ("region", "thin levels"): 30,
    }
    young = found["borrower_age", "under 30"]
    assert young["difference"] == pytest.approx(-0.2)
    assert young["standard_error"] == pytest.approx(0.05 * np.sqrt(60 / 59) / np.sqrt(60))
    assert found["borrower_age", "30 to 39"]["difference"] == pytest.approx(0)


def test_data_without_either_have_no_rows(set_of: Callable[..., TrainingSet]) -> None:
    data = set_of({"x": np.arange(60.0)}, np.zeros(60))
    assert fairness_rows(data, np.zeros(60), np.zeros(60)) == []
