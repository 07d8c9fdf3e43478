"""What of a loan lies outside what a model was trained on, told as flags beside its score."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.portfolio import FeatureGroup
from features.spec import FeatureSpec

# A group that more training loans than this say nothing of is missed by nobody: most loans have no
# collateral.
MOST_WITHOUT_GROUP: Final = 0.05


def learn_seen(frame: pl.LazyFrame, raw_prefix: str, spec: FeatureSpec) -> FeatureSpec:
    """The specification with what was seen in training: ranges of numbers, and usual groups.

    Parameters
    ----------
    frame : polars.LazyFrame
        Features of the training loans, and their values before coding under `raw_prefix`.
    raw_prefix : str
        Before the name of a feature.
    spec : FeatureSpec
        The features.
    """
    numbers = [d.name for d in spec.definitions if d.kind == "number"]
    ends = [pl.col(numbers).min().name.prefix("low_"), pl.col(numbers).max().name.prefix("high_")]
    without = [
        pl.all_horizontal(
            # A value outside the vocabulary is told as unseen: the loan does say something.
            pl.col((raw_prefix if d.kind in ("category", "ordered") else "") + d.name).is_null()
            for d in spec.definitions
            if d.group == group
        )
        .mean()
        .alias(f"without_{group}")
        for group in spec.groups
    ]
    found = frame.select(*ends, *without).collect(engine="streaming").row(0, named=True)
    definitions = tuple(
        d.model_copy(update={"seen": (found[f"low_{d.name}"], found[f"high_{d.name}"])})
        if d.kind == "number"
        else d
        for d in spec.definitions
    )
    usual = tuple(g for g in spec.groups if (found[f"without_{g}"] or 0) <= MOST_WITHOUT_GROUP)
    return spec.model_copy(update={"definitions": definitions, "usual_groups": usual})


@dataclass(frozen=True)
class Seen:
    """What was seen in training, laid out for the flags of a score; see `Seen.of`.

    Attributes
    ----------
    numbers : tuple of str
        Features that are held as numbers: ranks and flags too.
    low, high : array, shape (numbers,)
        Least and most in training, without bounds where a feature has none.
    groups : tuple of (str, array of int, tuple of str)
        Usual groups: the places of their features in `numbers`, and their categories.
    """

    numbers: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    groups: tuple[tuple[FeatureGroup, NDArray[np.intp], tuple[str, ...]], ...]

    @classmethod
    def of(cls, spec: FeatureSpec) -> Self:
        """What a specification tells of its training loans."""
        numbers = [d for d in spec.definitions if d.kind != "category"]
        categories = [d for d in spec.definitions if d.kind == "category"]
        bounds = np.array([d.seen or (-np.inf, np.inf) for d in numbers]).reshape(-1, 2)
        groups = tuple(
            (
                group,
                np.array([n for n, d in enumerate(numbers) if d.group == group], dtype=np.intp),
                tuple(d.name for d in categories if d.group == group),
            )
            for group in spec.usual_groups
        )
        return cls(tuple(d.name for d in numbers), bounds[:, 0], bounds[:, 1], groups)

    def flags(self, frame: pl.DataFrame, unseen: pl.Series) -> pl.Series:
        """Flags of each loan, joined by `;`, empty where there is none.

        `unseen_<feature>`: a value outside the vocabulary, scored as missing. `missing_<group>`: no
        feature of a group that at most `MOST_WITHOUT_GROUP` of the training loans lacked.
        `outside_<feature>`: a number below the least or above the most of training.

        Parameters
        ----------
        frame : polars.DataFrame
            With the features; see `features.pipeline`.
        unseen : polars.Series, shape (loans,)
            Lists of the features whose value is outside the vocabulary.
        """
        values = np.empty((frame.height, 0))
        if self.numbers:
            values = frame[list(self.numbers)].to_numpy()
        # A missing number compares as neither.
        outside = (values < self.low) | (values > self.high)
        masks = self._missing(frame, np.isnan(values), unseen)
        for place in np.flatnonzero(outside.any(axis=0)).tolist():
            masks[f"outside_{self.numbers[place]}"] = outside[:, place]
        if unseen.list.len().sum():
            told = unseen.list.eval(pl.lit("unseen_") + pl.element()).list.join(";")
        else:
            told = pl.Series([""]).new_from_index(0, frame.height)
        if not masks:
            return told
        flags = [pl.when(pl.Series(mask)).then(pl.lit(flag)) for flag, mask in masks.items()]
        # An empty text would leave its separator behind.
        first = pl.when(pl.lit(told) != "").then(pl.lit(told))
        return pl.select(pl.concat_str(first, *flags, separator=";", ignore_nulls=True)).to_series()

    def _missing(
        self, frame: pl.DataFrame, absent: NDArray[np.bool_], unseen: pl.Series
    ) -> dict[str, NDArray[np.bool_]]:
        found: dict[str, NDArray[np.bool_]] = {}
        for group, places, categories in self.groups:
            mask = np.asarray(absent[:, places].all(axis=1))
            for name in categories:
                # Hardly ever further than this: a loan that tells a number of the group has it.
                if mask.any():
                    mask = mask & frame[name].is_null().to_numpy()
            if mask.any():
                # A loan with an unseen value does say something, if nothing the model knows.
                own = pl.Series([*(self.numbers[place] for place in places), *categories])
                mask = (
                    mask
                    & ~unseen.list.eval(pl.element().is_in(own.implode())).list.any().to_numpy()
                )
            if mask.any():
                found[f"missing_{group}"] = mask
        return found
