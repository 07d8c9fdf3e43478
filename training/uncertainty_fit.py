"""Fitting how sure a model is, from forecasts of later vintages made on earlier ones alone."""

from models.package_distribution import SharedRisk
from models.uncertainty import Uncertainty, VintageBy
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.interval_fit import fit_rate_distribution
from training.settings import FitSettings
from training.shared_risk_fit import fit_shared_risk
from training.walk_forward import walk_forward_residuals


def fit_uncertainty(
    data: TrainingSet, settings: FitSettings, vintage_by: VintageBy = "cut_off_date"
) -> tuple[Uncertainty | None, tuple[str, ...]]:
    """Fit the spread of a loan's rate and what loans share.

    A loan's own spread is read at the longest horizon there is, from folds that know what has come
    of the earlier vintages since: what a loan brings in the end is its own luck. What loans share
    is read from folds that knew no more than the day they stood on: there hindsight takes away the
    very surprises that a package must be ready for.

    Parameters
    ----------
    data : TrainingSet
        Training loans of the model.
    settings : FitSettings
        Its settings; each fold is fitted with them.
    vintage_by : {"cut_off_date", "origination_date"}
        What dates a vintage.

    Returns
    -------
    uncertainty : Uncertainty or None
        None where the vintages are too few or too young to walk forward through.
    caveats : tuple of str
        What could not be told, and why.
    """
    try:
        residuals = walk_forward_residuals(data, settings, hindsight=True)
        rates = fit_rate_distribution(residuals)
    except TrainingError as error:
        return None, (f"No quantiles of a loan's recovery: {error}.",)
    shared: SharedRisk | None = None
    caveats: tuple[str, ...] = ()
    try:
        if data.meta.recovery_timing != "none":
            residuals = walk_forward_residuals(data, settings)
        shared = fit_shared_risk(residuals)
    except TrainingError as error:
        caveats = (f"No interval for a package's total: {error}.",)
    return Uncertainty(rates=rates, shared=shared, vintage_by=vintage_by), caveats
