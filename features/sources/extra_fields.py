"""Short ways to declare the extra fields of a source."""

from features.portfolio import Direction, ExtraField, FeatureGroup


def number_extra(
    name: str,
    meaning_en: str,
    meaning_zh: str,
    group: FeatureGroup = "borrower",
    unit: str = "",
    direction: Direction = 0,
) -> ExtraField:
    """Declare a number known at the cut-off."""
    return ExtraField(
        name=name,
        type="number",
        meaning_en=meaning_en,
        meaning_zh=meaning_zh,
        group=group,
        unit=unit,
        direction=direction,
    )


def flag_extra(
    name: str, meaning_en: str, meaning_zh: str, group: FeatureGroup = "borrower"
) -> ExtraField:
    """Declare a yes-or-no field known at the cut-off."""
    return ExtraField(
        name=name, type="flag", meaning_en=meaning_en, meaning_zh=meaning_zh, group=group
    )


def category_extra(
    name: str,
    meaning_en: str,
    meaning_zh: str,
    group: FeatureGroup = "borrower",
    ordered_levels: tuple[str, ...] = (),
) -> ExtraField:
    """Declare a category known at the cut-off; with `ordered_levels`, lowest first, a rank."""
    return ExtraField(
        name=name,
        type="category",
        ordered=bool(ordered_levels),
        levels=ordered_levels,
        meaning_en=meaning_en,
        meaning_zh=meaning_zh,
        group=group,
    )
