"""Errors of the training package."""


class TrainingError(Exception):
    """A model cannot be trained or judged on this portfolio; the message says what to change."""
