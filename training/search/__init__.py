"""The search for settings: an Optuna study that several workers share and that outlives a kill.

The only room in which Optuna is imported.
"""

from training.search.problem import Budget, Problem, Trial
from training.search.store import shown_location
from training.search.study import refuse_other_study, search

__all__ = ["Budget", "Problem", "Trial", "refuse_other_study", "search", "shown_location"]
