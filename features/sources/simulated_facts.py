"""Published recovery levels that the simulated portfolios are drawn to resemble.

Source: forecasts of two rating agencies for 46 Chinese NPL-ABS deals, cut-off 2020 to 2025 (gross
recovery over principal, interest and fees). A year without a published deal is an assumption
between its neighbours, and so is every level of corporate loans.
"""

from typing import Final

import numpy as np

FIRST_YEAR: Final = 2015
YEARS: Final = 10
WORKOUT_MONTHS: Final = 60

# A segment is an asset class, split by security where published levels differ by it.
SEGMENTS: Final = (
    "credit_card",
    "consumer",
    "auto",
    "personal_business_unsecured",
    "personal_business_secured",
    "residential_mortgage",
    "sme_unsecured",
    "sme_secured",
    "corporate_unsecured",
    "corporate_secured",
)
# First segment of each asset class, and the share of its loans that are in the secured one.
FIRST_SEGMENT: Final = np.array([0, 1, 2, 3, 5, 6, 8])
SECURED_SHARE: Final = np.array([0.0, 0.0, 1.0, 0.7, 1.0, 0.6, 0.55])
SPLIT_BY_SECURITY: Final = np.array([False, False, False, True, False, True, True])
SEGMENT_CLASS: Final = np.array([0, 1, 2, 3, 3, 4, 5, 5, 6, 6])
SEGMENT_SECURED: Final = np.array([0, 0, 1, 0, 1, 1, 0, 1, 0, 1], dtype=bool)

# Expected gross recovery at 60 months over the claim, weighted by claim; cut-off years 2015-2024.
LEVELS: Final = np.array(
    [
        [0.200, 0.200, 0.195, 0.190, 0.185, 0.175, 0.190, 0.180, 0.180, 0.110],
        [0.300, 0.300, 0.290, 0.280, 0.270, 0.260, 0.250, 0.235, 0.216, 0.134],
        [0.360, 0.360, 0.350, 0.340, 0.330, 0.310, 0.300, 0.280, 0.260, 0.230],
        [0.220, 0.220, 0.210, 0.200, 0.190, 0.180, 0.170, 0.155, 0.140, 0.120],
        [0.760, 0.760, 0.760, 0.760, 0.760, 0.750, 0.740, 0.700, 0.650, 0.530],
        [0.800, 0.810, 0.820, 0.820, 0.820, 0.810, 0.830, 0.700, 0.630, 0.430],
        [0.220, 0.220, 0.210, 0.200, 0.190, 0.180, 0.170, 0.155, 0.140, 0.120],
        [0.740, 0.740, 0.740, 0.740, 0.740, 0.730, 0.720, 0.690, 0.650, 0.520],
        [0.180, 0.180, 0.170, 0.160, 0.155, 0.150, 0.140, 0.130, 0.120, 0.100],
        [0.520, 0.520, 0.510, 0.510, 0.500, 0.490, 0.480, 0.450, 0.420, 0.360],
    ]
)
# (segment, cut-off year) -> lowest and highest published forecast. The cards of 2021 take in a deal
# cut off on the last day of 2020; small-business deals stand for both business segments.
PUBLISHED: Final = {
    ("residential_mortgage", 2020): (0.753, 0.865),
    ("residential_mortgage", 2021): (0.79, 0.87),
    ("residential_mortgage", 2022): (0.551, 0.854),
    ("residential_mortgage", 2023): (0.52, 0.74),
    ("residential_mortgage", 2024): (0.394, 0.435),
    ("credit_card", 2021): (0.137, 0.218),
    ("credit_card", 2022): (0.12, 0.23),
    ("credit_card", 2023): (0.164, 0.214),
    ("credit_card", 2024): (0.073, 0.137),
    ("consumer", 2023): (0.206, 0.226),
    ("consumer", 2024): (0.125, 0.144),
    ("personal_business_secured", 2023): (0.64, 0.658),
    ("personal_business_unsecured", 2023): (0.136, 0.143),
    ("sme_secured", 2023): (0.64, 0.658),
    ("sme_unsecured", 2023): (0.136, 0.143),
}

# National change of house prices over the 36 months to a year's end, 2014-2024: an assumption that
# turns when the published recoveries of mortgages do.
HOUSE_PRICE_CHANGE: Final = np.array(
    [0.12, 0.12, 0.13, 0.14, 0.14, 0.13, 0.12, 0.11, 0.02, -0.07, -0.15]
)
# Ages of the loans sold in a cut-off year, relative to those usual in their class: an assumption.
AGE_BY_YEAR: Final = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.2, 1.4])
