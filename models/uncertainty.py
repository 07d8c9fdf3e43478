"""How sure a model is: each loan's spread, and what the loans of a package share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.intervals import RateDistribution
from models.package_distribution import SharedRisk

VintageBy = Literal["cut_off_date", "origination_date"]


class Uncertainty(BaseModel):
    """What forecasts of later vintages missed, made on earlier ones alone.

    Attributes
    ----------
    rates : RateDistribution
        Spread of a loan's realised rate, given its forecast.
    shared : SharedRisk, optional
        What the loans of a vintage, and of a region in it, miss together. Missing where too few
        vintages could be forecast with what was known at the time.
    vintage_by : {"cut_off_date", "origination_date"}
        What dates a vintage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rates: RateDistribution
    shared: SharedRisk | None
    vintage_by: VintageBy
