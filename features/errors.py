"""Errors of the features package. Every message names what was wrong and how to mend it."""


class FeaturesError(Exception):
    """Root of all errors raised by `features`."""


class PortfolioError(FeaturesError):
    """A portfolio folder, its description or its rows cannot be used."""


class PortfolioStoreError(FeaturesError):
    """A portfolio store cannot be read, or a delivery does not fit what it holds."""


class LockedError(FeaturesError):
    """Another process is at work where only one may be."""


class SourceError(FeaturesError):
    """A publisher's or spreadsheet file cannot be turned into a portfolio."""


class SpecError(FeaturesError):
    """A feature specification does not fit the tape or the code."""
