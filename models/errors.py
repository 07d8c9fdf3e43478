"""Errors of the models package."""


class ModelsError(Exception):
    """Root of all errors raised by `models`."""


class BundleError(ModelsError):
    """A model bundle is missing, damaged, or does not fit this code."""


class ScoringError(ModelsError):
    """A tape cannot be scored with this model."""


class CorrectionError(ModelsError):
    """A correction cannot be proposed, decided or read."""
