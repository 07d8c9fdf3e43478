"""Segments of loans: as their features say, in tape order, missing where not stated."""

import numpy as np
import polars as pl

from features.pipeline import build_scoring_frame, learn_spec
from features.portfolio import Portfolio
from features.segments import AGE_BANDS, DIMENSIONS, EXPOSURE_BANDS, segment_frame


def test_segments_are_those_of_the_features(simulated: Portfolio) -> None:
    basis = simulated.meta.recovery_basis
    found = segment_frame(simulated.tape, simulated.ledger, basis)
    spec = learn_spec(simulated.tape, simulated.ledger, simulated.meta)
    features = build_scoring_frame(simulated.tape, simulated.ledger, spec).collect()
    assert found["loan_id"].equals(features["loan_id"])
    assert set(DIMENSIONS) < set(found.columns)
    known = features["region"].is_not_null()
    assert known.sum() > 1_500
    region = features["region"].cast(pl.String)
    assert found["region"].filter(known).to_list() == region.filter(known).to_list()
    assert found["months_since_default"].equals(features["months_since_default"])
    years = features["months_since_default"].to_numpy() / 12
    expected = np.array(AGE_BANDS)[np.searchsorted([1, 3, 5, 7], years, side="right")]
    dated = features["months_since_default"].is_not_null()
    assert found["age_band"].filter(dated).to_list() == expected[dated.to_numpy()].tolist()
    size = np.searchsorted([1e4, 1e5, 1e6, 1e7], features["ead_amount"].to_numpy(), side="right")
    assert found["exposure_band"].to_list() == np.array(EXPOSURE_BANDS)[size].tolist()
    assert found["exposure_band"].n_unique() > 2


def test_what_a_tape_does_not_state_is_missing(simulated: Portfolio) -> None:
    bare = simulated.tape.select("loan_id", "snapshot_date", "principal_outstanding").head(3)
    found = segment_frame(bare, simulated.ledger, "principal")
    assert found.height == 3
    for name in ("asset_class", "region", "guarantee", "age_band"):
        assert found[name].null_count() == 3


def test_without_a_borrowers_region_the_collaterals_stands(simulated: Portfolio) -> None:
    tape = simulated.tape.head(2).with_columns(
        borrower_adcode=pl.lit(None, dtype=pl.String), collateral_adcode=pl.lit("440300")
    )
    found = segment_frame(tape, simulated.ledger, simulated.meta.recovery_basis)
    assert found["region"].to_list() == ["CN-GD", "CN-GD"]
