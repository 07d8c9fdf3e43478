"""Months after a cut-off at which cumulative recoveries are told, realised and forecast alike."""

from typing import Final

HORIZONS_MONTHS: Final = (6, 12, 24, 36, 48, 60)


def rate_column(horizon_months: int) -> str:
    """Name of the cumulative net recovery rate at a horizon.

    Examples
    --------
    >>> rate_column(6)
    'recovery_rate_06m'
    """
    return f"recovery_rate_{horizon_months:02d}m"
