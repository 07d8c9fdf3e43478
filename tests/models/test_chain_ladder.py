"""Chain-ladder against the printed factors and reserves of a triangle every actuary knows."""

import numpy as np
import pytest

from models.chain_ladder import age_to_age_factors, developed

# Incremental claims of Taylor & Ashe (1983), Journal of Econometrics 23, as printed in Mack (1993),
# ASTIN Bulletin 23(2), pages 213-225, where the factors and the reserves below are given.
TAYLOR_ASHE = (
    (357848, 766940, 610542, 482940, 527326, 574398, 146342, 139950, 227229, 67948),
    (352118, 884021, 933894, 1183289, 445745, 320996, 527804, 266172, 425046),
    (290507, 1001799, 926219, 1016654, 750816, 146923, 495992, 280405),
    (310608, 1108250, 776189, 1562400, 272482, 352053, 206286),
    (443160, 693190, 991983, 769488, 504851, 470639),
    (396132, 937085, 847498, 805037, 705960),
    (440832, 847631, 1131398, 1063269),
    (359480, 1061648, 1443370),
    (376686, 986608),
    (344014,),
)
FACTORS = (3.491, 1.747, 1.457, 1.174, 1.104, 1.086, 1.054, 1.077, 1.018)
RESERVES_THOUSANDS = (0, 95, 470, 710, 985, 1419, 2178, 3920, 4279, 4626)
TOTAL_THOUSANDS = 18_681


def triangle() -> np.ndarray:
    full = np.full((10, 10), np.nan)
    for vintage, paid in enumerate(TAYLOR_ASHE):
        full[vintage, : len(paid)] = np.cumsum(paid)
    return full


def test_printed_development_factors() -> None:
    assert age_to_age_factors(triangle()).round(3).tolist() == list(FACTORS)


def test_printed_reserves() -> None:
    observed = triangle()
    full = developed(observed, age_to_age_factors(observed))
    latest = np.array([np.cumsum(paid)[-1] for paid in TAYLOR_ASHE])
    reserves = full[:, -1] - latest
    assert (reserves / 1000).round().tolist() == list(RESERVES_THOUSANDS)
    assert round(reserves.sum() / 1000) == TOTAL_THOUSANDS
    known = ~np.isnan(observed)
    np.testing.assert_array_equal(full[known], observed[known])


@pytest.mark.parametrize("hopeless", [[[1.0, np.nan], [2.0, np.nan]], [[0.0, 5.0], [0.0, 1.0]]])
def test_ages_without_recoveries_are_refused(hopeless: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="ages 0 and 1"):
        age_to_age_factors(np.array(hopeless))
