"""Settings of a fit, and the few candidates among which walk-forward validation chooses."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from features.portfolio import FeatureGroup
from models.link import Link

Preset = Literal["shallow", "deep"]


@dataclass(frozen=True)
class TreeSettings:
    """One bag of boosters, in LightGBM's terms; see its parameter documentation.

    Depth is capped at 8, so that exact explanations stay affordable.
    """

    rounds: int
    bags: int
    learning_rate: float
    max_depth: int
    num_leaves: int
    min_data_in_leaf: int
    lambda_l2: float
    feature_fraction: float
    bagging_fraction: float = 0.7

    def __post_init__(self) -> None:
        """Refuse settings outside their ranges."""
        if not 1 <= self.max_depth <= 8:
            raise ValueError(f"max_depth must be 1 to 8, not {self.max_depth}")
        if self.rounds < 1 or self.bags < 1:
            raise ValueError(f"rounds and bags must be 1 or more, not {self.rounds}, {self.bags}")
        if self.num_leaves < 2 or self.min_data_in_leaf < 1:
            raise ValueError(
                f"num_leaves must be 2 or more and min_data_in_leaf 1 or more, not"
                f" {self.num_leaves}, {self.min_data_in_leaf}"
            )
        for name in ("feature_fraction", "bagging_fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and up to 1, not {getattr(self, name)}")
        if self.learning_rate <= 0 or self.lambda_l2 < 0:
            raise ValueError(
                f"learning_rate must be above 0 and lambda_l2 not below, not {self.learning_rate},"
                f" {self.lambda_l2}"
            )


# Shallow trees for small or noisy sets, deep ones where there is much to learn.
PRESETS: Final[dict[Preset, TreeSettings]] = {
    "shallow": TreeSettings(
        rounds=100,
        bags=5,
        learning_rate=0.03,
        max_depth=3,
        num_leaves=6,
        min_data_in_leaf=20,
        lambda_l2=20.0,
        feature_fraction=0.3,
    ),
    "deep": TreeSettings(
        rounds=100,
        bags=9,
        learning_rate=0.1,
        max_depth=7,
        num_leaves=31,
        min_data_in_leaf=20,
        lambda_l2=2.0,
        feature_fraction=0.4,
    ),
}


@dataclass(frozen=True)
class FitSettings:
    """What shapes a fit besides the data.

    Attributes
    ----------
    trees : {"shallow", "deep"} or TreeSettings
        The tree part: a preset by its name, or settings of one's own.
    linear_weight : float
        Weight of the linear part in the score, 0 to 1; the trees have the rest.
    link : {"logit", "identity"}, optional
        Scale of the score; by default the one the rates call for (`training.labels.Labels.link`).
    half_life_years : float
        A vintage this much older than the newest weighs half.
    groups : tuple of str, optional
        Factor groups whose features are read; by default all.
    seed : int
        Seed of bagging.
    """

    trees: Preset | TreeSettings = "shallow"
    linear_weight: float = 0.5
    link: Link | None = None
    half_life_years: float = 8.0
    groups: tuple[FeatureGroup, ...] | None = None
    seed: int = 20070401

    def __post_init__(self) -> None:
        """Refuse settings outside their ranges."""
        if not 0 <= self.linear_weight <= 1:
            raise ValueError(f"linear_weight must be 0 to 1, not {self.linear_weight}")
        if self.half_life_years <= 0:
            raise ValueError(f"half_life_years must be above 0, not {self.half_life_years}")
        if self.groups is not None and not self.groups:
            raise ValueError("groups must name a factor group, or be left out for all of them")

    @property
    def tree_settings(self) -> TreeSettings:
        """Settings of the tree part, a preset looked up."""
        return self.trees if isinstance(self.trees, TreeSettings) else PRESETS[self.trees]

    @property
    def trees_name(self) -> str:
        """Name of the preset, or "tuned" for settings of one's own."""
        return "tuned" if isinstance(self.trees, TreeSettings) else self.trees

    def as_document(self) -> dict[str, Any]:
        """The settings as plain values, for the manifest."""
        return asdict(self) | {
            "trees": self.trees_name,
            "tree_settings": asdict(self.tree_settings),
        }


CANDIDATES: Final = (
    FitSettings("shallow", 0.5),
    FitSettings("shallow", 0.0),
    FitSettings("deep", 0.5),
    FitSettings("deep", 0.0),
)
# From this many loans on, deep trees are fed well enough to be the default.
_LOANS_FOR_DEPTH: Final = 10_000


def default_settings(loans: int) -> FitSettings:
    """Candidate that stands where none is better than the simplest beyond noise.

    Examples
    --------
    >>> default_settings(3_000).trees, default_settings(20_000).trees
    ('shallow', 'deep')
    """
    return CANDIDATES[2] if loans >= _LOANS_FOR_DEPTH else CANDIDATES[0]
