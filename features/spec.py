"""The feature specification: what a model was trained on, in a form that travels with it."""

import hashlib
import json
from typing import Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict

from features.errors import SpecError
from features.feature import FeatureKind
from features.portfolio import Direction, ExtraField, FeatureGroup, RecoveryBasis


class FeatureDefinition(BaseModel):
    """One column of the feature frame: name, type, unit, vocabulary, direction and meaning.

    `seen` is the least and the most of a number in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    group: FeatureGroup
    kind: FeatureKind
    unit: str
    levels: tuple[str, ...]
    direction: Direction = 0
    seen: tuple[float, float] | None = None
    meaning_en: str
    meaning_zh: str

    @property
    def dtype(self) -> pl.DataType:
        """Enum for categories, Float64 for everything else: the same whatever the rows."""
        return pl.Enum(self.levels) if self.kind == "category" else pl.Float64()


class FeatureSpec(BaseModel):
    """All features in order, with the extra tape fields they need.

    Attributes
    ----------
    basis : {"claim", "principal", "original_amount"}
        What the exposure is; part of the features' meaning.
    extra_fields : tuple of ExtraField
        Columns the tape must carry beyond the canonical schema.
    definitions : tuple of FeatureDefinition
        The columns of the feature frame, in order.
    usual_groups : tuple of str
        Factor groups that all but a few training loans tell something of; see `features.flags`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    basis: RecoveryBasis
    extra_fields: tuple[ExtraField, ...]
    definitions: tuple[FeatureDefinition, ...]
    usual_groups: tuple[FeatureGroup, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names of the feature frame, without `loan_id`."""
        return [definition.name for definition in self.definitions]

    @property
    def categories(self) -> list[str]:
        """Names of the unordered categorical features."""
        return [d.name for d in self.definitions if d.kind == "category"]

    @property
    def groups(self) -> tuple[FeatureGroup, ...]:
        """Factor groups that have a feature, in the order of the features."""
        return tuple(dict.fromkeys(definition.group for definition in self.definitions))

    @property
    def directions(self) -> dict[str, int]:
        """Features whose effect on the expected recovery has a sure sign, -1 or 1, by name."""
        return {d.name: d.direction for d in self.definitions if d.direction}

    def definition(self, name: str) -> FeatureDefinition:
        """Definition of one feature.

        Raises
        ------
        SpecError
            When the specification has no feature of that name.
        """
        for definition in self.definitions:
            if definition.name == name:
                return definition
        raise SpecError(f"no feature {name!r} in the specification; it has {', '.join(self.names)}")

    def keep(self, names: list[str]) -> Self:
        """Return the specification with only the named features, in their old order.

        Extra fields that no kept feature reads are no longer asked of a tape.
        """
        for name in names:
            self.definition(name)
        kept = tuple(d for d in self.definitions if d.name in names)
        # Nothing was learnt of how usual a part of a group is.
        parted = {d.group for d in self.definitions if d not in kept}
        return self.model_copy(
            update={
                "definitions": kept,
                "usual_groups": tuple(g for g in self.usual_groups if g not in parted),
                "extra_fields": tuple(x for x in self.extra_fields if x.name in names),
            }
        )

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON form."""
        document = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(document.encode()).hexdigest()
