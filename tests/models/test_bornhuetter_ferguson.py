"""Against a printed example: Wuethrich & Merz (2008), Stochastic Claims Reserving Methods in
Insurance, tables 2.2 (triangle) and 2.4 (prior ultimates, reserves by both methods).
"""

import numpy as np
import pytest

from models.bornhuetter_ferguson import bornhuetter_ferguson, cape_cod_rate, developed_shares
from models.chain_ladder import age_to_age_factors, developed

CUMULATIVE = (
    (5946975, 9668212, 10563929, 10771690, 10978394, 11040518, 11106331, 11121181, 11132310,
     11148124),
    (6346756, 9593162, 10316383, 10468180, 10536004, 10572608, 10625360, 10636546, 10648192),
    (6269090, 9245313, 10092366, 10355134, 10507837, 10573282, 10626827, 10635751),
    (5863015, 8546239, 9268771, 9459424, 9592399, 9680740, 9724068),
    (5778885, 8524114, 9178009, 9451404, 9681692, 9786916),
    (6184793, 9013132, 9585897, 9830796, 9935753),
    (5600184, 8493391, 9056505, 9282022),
    (5288066, 7728169, 8256211),
    (5290793, 7648729),
    (5675568,),
)  # fmt: skip
PRIOR = (
    11653101, 11367306, 10962965, 10616762, 11044881, 11480700, 11413572, 11126527, 10986548,
    11618437,
)  # fmt: skip
CHAIN_LADDER = (0, 15126, 26257, 34538, 85302, 156494, 286121, 449167, 1043242, 3950815)
RESERVES = (0, 16124, 26998, 37575, 95434, 178024, 341305, 574089, 1318646, 4768384)


def triangle() -> np.ndarray:
    full = np.full((10, 10), np.nan)
    for vintage, paid in enumerate(CUMULATIVE):
        full[vintage, : len(paid)] = paid
    return full


def latest() -> np.ndarray:
    return np.array([paid[-1] for paid in CUMULATIVE], dtype=np.float64)


def test_printed_reserves() -> None:
    observed = triangle()
    factors = age_to_age_factors(observed)
    # The printed triangle is rounded: reserves agree to a few units.
    chain_ladder = developed(observed, factors)[:, -1] - latest()
    np.testing.assert_allclose(chain_ladder, CHAIN_LADDER, atol=2)
    share = developed_shares(factors)[::-1]
    ultimate = bornhuetter_ferguson(latest(), np.array(PRIOR, dtype=np.float64), share)
    np.testing.assert_allclose(ultimate - latest(), RESERVES, atol=2)


def test_with_chain_ladder_as_prior_it_is_the_chain_ladder() -> None:
    observed = triangle()
    factors = age_to_age_factors(observed)
    full = developed(observed, factors)[:, -1]
    share = developed_shares(factors)[::-1]
    np.testing.assert_allclose(bornhuetter_ferguson(latest(), full, share), full, rtol=1e-12)


def test_cape_cod_finds_the_rate_it_was_made_with() -> None:
    exposure, share = np.array([100.0, 300.0, 50.0]), np.array([1.0, 0.5, 0.1])
    assert cape_cod_rate(0.3 * exposure * share, exposure, share) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="no exposure"):
        cape_cod_rate(np.zeros(1), np.ones(1), np.zeros(1))
