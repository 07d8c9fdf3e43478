"""Errors of the models package."""


class ModelsError(Exception):
    """Root of all errors raised by `models`."""


class BundleError(ModelsError):
    """A model bundle is missing, damaged, or does not fit this code."""


class ScoringError(ModelsError):
    """A tape cannot be scored with this model."""


class CorrectionError(ModelsError):
    """A correction cannot be proposed, decided or read."""


class StoreError(ModelsError):
    """MLflow's store of runs and models cannot be reached, read or written."""


class RegistryError(ModelsError):
    """A registered model or a version of it is not there, or cannot be what was asked."""


class MonitoringError(ModelsError):
    """Forecasts cannot be held against later cash."""
