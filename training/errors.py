"""Errors of the training package."""


class TrainingError(Exception):
    """A model cannot be trained or judged on this portfolio; the message says what to change."""


class NoCashError(TrainingError):
    """The months that a level is drawn from brought no cash: no level tells of none."""
