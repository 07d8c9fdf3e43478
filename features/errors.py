"""Errors of the features package. Every message names what was wrong and how to mend it."""


class FeaturesError(Exception):
    """Root of all errors raised by `features`."""


class PortfolioError(FeaturesError):
    """A portfolio folder, its description or its rows cannot be used."""


class SourceError(FeaturesError):
    """A publisher's or spreadsheet file cannot be turned into a portfolio."""


class SpecError(FeaturesError):
    """A feature specification does not fit the tape or the code."""
