"""The fitted pattern against chain-ladder on the printed triangle, and what thin segments take."""

import numpy as np
import polars as pl
import pytest

from models.chain_ladder import age_to_age_factors
from training.development_fit import fit_development

Array = np.ndarray


def test_of_one_segment_it_is_chain_ladder_of_its_loans() -> None:
    rng = np.random.default_rng(4)
    steps = rng.random((60, 4))
    rates = np.cumsum(steps / steps.sum(axis=1, keepdims=True), axis=1)
    watched = rng.permutation(np.repeat([6, 12, 24, 36], 15))
    triangle = np.where(watched[:, None] >= [6, 12, 24, 36], rates, np.nan)
    features = pl.DataFrame({"x": np.zeros(60)})
    found = fit_development(features, rates, watched, (6, 12, 24, 36))
    # Each loan is a vintage of the triangle with an exposure of one.
    factors = age_to_age_factors(triangle[np.argsort(-watched)])
    expected = [1 / np.prod(factors[place:]) for place in range(4)]
    np.testing.assert_allclose(found.overall, expected)
    np.testing.assert_allclose(found.by_segment[""], expected)


def test_a_thin_segment_is_drawn_to_all_loans() -> None:
    quick, slow = 1_000, 10
    features = pl.DataFrame({"asset_class": ["quick"] * quick + ["slow"] * slow})
    rates = np.array([[0.5, 0.5]] * quick + [[0.1, 0.5]] * slow)
    found = fit_development(features, rates, np.full(quick + slow, 12), (6, 12))
    together = (0.5 * quick + 0.1 * slow) / (0.5 * (quick + slow))
    assert found.overall[0] == pytest.approx(together)
    # A hundred average loans stand beside the ten.
    drawn = (0.1 * slow + 100 * 0.5 * together) / (0.5 * slow + 100 * 0.5)
    assert found.by_segment["slow"][0] == pytest.approx(drawn)


def test_cash_that_flows_back_makes_no_curve_fall() -> None:
    features = pl.DataFrame({"x": [0.0, 1.0]})
    back = fit_development(
        features, np.array([[0.5, 0.4], [0.5, 0.4]]), np.array([12, 12]), (6, 12)
    )
    assert back.overall == (1.0, 1.0)
    none = fit_development(features, np.zeros((2, 2)), np.array([12, 12]), (6, 12))
    assert none.overall == (1.0, 1.0)
    late = fit_development(features, np.array([[0.0, 0.4]] * 2), np.array([12, 12]), (6, 12))
    assert late.overall == (0.0, 1.0)
