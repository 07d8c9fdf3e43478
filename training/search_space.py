"""What the search varies: dimensions as plain values, and the fit settings a point stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from features.portfolio import FeatureGroup
from models.link import Link
from training.settings import FitSettings, TreeSettings

Value = str | int | float
Point = Mapping[str, Value]
NOTHING: Final = "nothing"


@dataclass(frozen=True)
class Range:
    """A numeric dimension, both ends included.

    Attributes
    ----------
    low, high : int or float
        Ends; integers make an integer dimension.
    log : bool
        Whether equal ratios count as equal steps.
    """

    low: int | float
    high: int | float
    log: bool = False


Dimension = Range | tuple[str, ...]

_MOST_IN_LEAF: Final = 200
# Of the loans of a fit, a leaf may ask for this share; a preset asks for 20.
_LARGEST_LEAF: Final = 0.2
_PRESET_LEAF: Final = 20

# Depth is capped at 8 for the explanations (`TreeSettings`); rounds and bags for the time of a fit.
_NUMBERS: Final[Mapping[str, Range]] = {
    "linear_weight": Range(0.0, 1.0),
    "half_life_years": Range(1.0, 32.0, log=True),
    "rounds": Range(40, 250, log=True),
    "bags": Range(3, 9),
    "learning_rate": Range(0.01, 0.3, log=True),
    "max_depth": Range(2, 8),
    "num_leaves": Range(4, 63, log=True),
    "min_data_in_leaf": Range(5, _MOST_IN_LEAF, log=True),
    "lambda_l2": Range(0.1, 100.0, log=True),
    "feature_fraction": Range(0.1, 1.0),
    "bagging_fraction": Range(0.4, 1.0),
}


def search_space(groups: Sequence[FeatureGroup], loans: int) -> dict[str, Dimension]:
    """Dimensions by name, for a portfolio with features of these groups.

    Parameters
    ----------
    groups : sequence of str
        Factor groups that have a feature.
    loans : int
        Loans of the smallest fit.

    Notes
    -----
    At most one group is left out: a switch for each would double the space seven times over for a
    budget of some dozen trials, and half of the first, random ones would lack most of the features.
    """
    space: dict[str, Dimension] = {"link": ("logit", "identity"), **_NUMBERS}
    most = max(_PRESET_LEAF, min(_MOST_IN_LEAF, int(_LARGEST_LEAF * loans)))
    space["min_data_in_leaf"] = Range(_NUMBERS["min_data_in_leaf"].low, most, log=True)
    if len(groups) > 1:
        space["without_group"] = (NOTHING, *groups)
    return space


def settings_of(point: Point, groups: Sequence[FeatureGroup], seed: int) -> FitSettings:
    """Fit settings that a point of the space stands for."""
    left_out = point.get("without_group", NOTHING)
    kept = tuple(group for group in groups if group != left_out)
    link: Link = "logit" if point["link"] == "logit" else "identity"
    return FitSettings(
        trees=TreeSettings(
            rounds=int(point["rounds"]),
            bags=int(point["bags"]),
            learning_rate=float(point["learning_rate"]),
            max_depth=int(point["max_depth"]),
            num_leaves=int(point["num_leaves"]),
            min_data_in_leaf=int(point["min_data_in_leaf"]),
            lambda_l2=float(point["lambda_l2"]),
            feature_fraction=float(point["feature_fraction"]),
            bagging_fraction=float(point["bagging_fraction"]),
        ),
        linear_weight=float(point["linear_weight"]),
        link=link,
        half_life_years=float(point["half_life_years"]),
        groups=None if left_out == NOTHING else kept,
        seed=seed,
    )


def point_of(settings: FitSettings, link: Link, groups: Sequence[FeatureGroup]) -> dict[str, Value]:
    """Point of the space that stands for settings with all features; inverse of `settings_of`.

    Parameters
    ----------
    settings : FitSettings
        Settings without `groups`.
    link : {"logit", "identity"}
        The link where the settings leave it to the rates.
    groups : sequence of str
        Groups of the portfolio's features.
    """
    trees = settings.tree_settings
    point: dict[str, Value] = {
        "link": settings.link or link,
        "linear_weight": settings.linear_weight,
        "half_life_years": settings.half_life_years,
        "rounds": trees.rounds,
        "bags": trees.bags,
        "learning_rate": trees.learning_rate,
        "max_depth": trees.max_depth,
        "num_leaves": trees.num_leaves,
        "min_data_in_leaf": trees.min_data_in_leaf,
        "lambda_l2": trees.lambda_l2,
        "feature_fraction": trees.feature_fraction,
        "bagging_fraction": trees.bagging_fraction,
    }
    if len(groups) > 1:
        point["without_group"] = NOTHING
    return point
